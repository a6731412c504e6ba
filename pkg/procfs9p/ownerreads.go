package procfs9p

import (
	"bytes"

	"github.com/aggrfs/aggrfs/pkg/vfs"
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

// sawStatus notes what is in the status file. The name of a process makes no
// lines there: the kernel escapes it.
func (o *ownership) sawStatus(status []byte) {
	o.status = o.uid != 0 && isRealID(o.uid) && isRealID(o.gid) &&
		allIDs(statusValue(status, "\nUid:\t"), o.uid) && allIDs(statusValue(status, "\nGid:\t"), o.gid) &&
		isZero(statusValue(status, "\nCapPrm:\t"))
}

// isRealID tells whether id is somebody's, not one that stands for nobody in
// particular.
func isRealID(id uint32) bool { return id != vfs.OverflowID && id != vfs.NoID }

// statusValue is the rest of the line that begins with key, which has the line
// end before it.
func statusValue(status []byte, key string) []byte {
	i := bytes.Index(status, []byte(key))
	if i < 0 {
		return nil
	}
	value, _, _ := bytes.Cut(status[i+len(key):], []byte("\n"))
	return value
}

// allIDs tells whether a Uid or Gid line of status has four ids, all of them id.
func allIDs(value []byte, id uint32) bool {
	n := 0
	for field := range bytes.SplitSeq(value, []byte("\t")) {
		if got, ok := parseID(field); !ok || got != id {
			return false
		}
		n++
	}
	return n == 4
}

func parseID(field []byte) (id uint32, ok bool) {
	n := uint64(0)
	for _, c := range field {
		if c < '0' || c > '9' || n > uint64(vfs.NoID) {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	return uint32(n), len(field) > 0 && n <= uint64(vfs.NoID)
}

// isZero tells whether a set of capabilities in hexadecimal is empty.
func isZero(value []byte) bool {
	return len(value) > 0 && len(bytes.Trim(value, "0")) == 0
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
