package procfs9p

import (
	"syscall"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// sweepRoom is the room in the answer that a file is read into, in bytes. Most
// are smaller; what does not fit goes through the worker's own buffer.
const sweepRoom = 4096

// addQuick reads a file that cannot block straight into the answer.
func (k *worker) addQuick(dirfd int, f *wanted) syscall.Errno {
	fd, err := openAt(dirfd, f.name, openRead)
	if err != nil {
		return vfs.Errno(err)
	}
	defer unix.Close(fd)
	if f.name == "stat" {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err == nil {
			k.b.Owner(st.Uid, st.Gid)
			k.owner.sawStat(&st)
		}
	}
	room := k.b.Room(sweepRoom)
	n, err := k.leaf.read(fd, room)
	if err != nil {
		return vfs.Errno(err)
	}
	if f.Once && n < len(room) {
		if n > k.leaf.cfg.MaxSweepFile {
			return syscall.EFBIG
		}
		switch f.name {
		case "stat":
			k.settle(room[:n])
		case "status":
			k.owner.sawStatus(room[:n])
		}
		k.b.Put(n)
		return 0
	}
	k.scratch = append(k.scratch[:0], room[:n]...)
	k.scratch, err = k.leaf.readInto(fd, k.scratch, f.Once, k.leaf.cfg.MaxSweepFile)
	if err != nil {
		return vfs.Errno(err)
	}
	k.b.Add(k.scratch)
	return 0
}

// addLink adds the text of a link.
func (k *worker) addLink(dirfd int, f *wanted) (err error) {
	if k.scratch, err = linkText(dirfd, f.name, k.scratch[:0]); err == nil {
		k.b.Add(k.scratch)
	}
	return err
}

// linkText appends the text of a link.
func linkText(dirfd int, name string, dst []byte) ([]byte, error) {
	fd, err := openAt(dirfd, name, openPath)
	if err != nil {
		return dst, err
	}
	defer unix.Close(fd)
	text, err := readlink(fd)
	return append(dst, text...), err
}

// addCareful reads a file that may block into the worker's own buffer, so that
// it can be left behind: owned is false when it was.
func (k *worker) addCareful(dirfd int, f *wanted) (errno syscall.Errno, owned bool) {
	content, err, owned := k.careful(func() error { return k.readScratch(dirfd, f) })
	if !owned || err != nil {
		return vfs.Errno(err), owned
	}
	k.b.Add(content)
	return 0, true
}

// careful has something that may block read into the worker's own buffer.
func (k *worker) careful(read func() error) (content []byte, err error, owned bool) {
	g, key := k.leaf.guard, k.proc
	if g.refused(key) != nil {
		return nil, syscall.ETIMEDOUT, true
	}
	k.waitsOn.Store(key)
	at := k.place.Add(1)
	err = read()
	if !k.place.CompareAndSwap(at, at+1) {
		g.unmarkStuck(key)
		return nil, nil, false
	}
	return k.scratch, err, true
}

func (k *worker) readScratch(dirfd int, f *wanted) error {
	fd, err := openAt(dirfd, f.name, openRead)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if k.scratch == nil {
		k.scratch = make([]byte, 0, readBuffer)
	}
	k.scratch, err = k.leaf.readInto(fd, k.scratch[:0], f.Once, k.leaf.cfg.MaxSweepFile)
	return err
}

// ownership is what a sweep has seen of whose the process is that it visits, to
// decide if its owner has ptrace read access to it (snapshot.Proc.OwnerReads).
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
