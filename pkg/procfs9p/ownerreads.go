package procfs9p

import (
	"github.com/aggrfs/aggrfs/internal/procfile"
	"golang.org/x/sys/unix"
)

// ownership is what a sweep has seen of whose the process is that it visits, to
// say whether its owner has ptrace read access to it (snapshot.Proc.OwnerReads).
// By __ptrace_may_access in kernel/ptrace.c and cap_ptrace_access_check in
// security/commoncap.c a user has, if all ids of the process are theirs, it is
// dumpable, and it has no capability and is in the user namespace that they are
// in. Which one that is, is known of the leaf's own alone: so that.
type ownership struct {
	uid, gid     uint32 // of the process directory, as in the record
	stat, status bool   // each says that they are the owner's
}

// sawStat notes the attributes of the stat file: it is root's if the process is
// not dumpable.
func (o *ownership) sawStat(st *unix.Stat_t) { o.stat = st.Uid == o.uid && st.Gid == o.gid }

// sawStatus notes what is in the status file.
func (o *ownership) sawStatus(status []byte) {
	o.status = procfile.OwnedAlone(status, o.uid, o.gid)
}

// nsFile is what tells a namespace from others, see namespaces(7).
type nsFile struct{ dev, ino uint64 }

// userNS is the user namespace of the process whose directory is open as dirfd;
// the zero value where it cannot be told.
func userNS(dirfd int) nsFile {
	var st unix.Stat_t
	if err := unix.Fstatat(dirfd, "ns/user", &st, 0); err != nil {
		return nsFile{}
	}
	return nsFile{uint64(st.Dev), st.Ino}
}

// ownUserNS is that of this process.
func ownUserNS() nsFile {
	fd, err := unix.Open("/proc/self", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nsFile{}
	}
	defer unix.Close(fd)
	return userNS(fd)
}
