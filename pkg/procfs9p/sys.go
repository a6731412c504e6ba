package procfs9p

import (
	"errors"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// beneath keeps an open within the one procfs, see openat2(2).
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// Ways to open.
const (
	openPath = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
	openDir  = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	// openRead does not wait for what a file may wait for at open.
	openRead = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
)

// readFunc is read(2), and openFunc what openAt is.
type (
	readFunc func(fd int, p []byte) (int, error)
	openFunc func(dirfd int, rel string, flags uint64) (int, error)
)

// openAt opens rel below the directory dirfd. What is on another mount does not
// exist.
func openAt(dirfd int, rel string, flags uint64) (int, error) {
	name, long, err := cString(rel)
	if err != nil {
		return -1, err
	}
	p := &name[0]
	if long != nil {
		p = long
	}
	how := unix.OpenHow{Flags: flags, Resolve: beneath}
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT2, uintptr(dirfd), uintptr(unsafe.Pointer(p)),
			uintptr(unsafe.Pointer(&how)), unix.SizeofOpenHow, 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR, unix.EAGAIN: // EAGAIN: a mount moved meanwhile
			continue
		case unix.EXDEV:
			return -1, syscall.ENOENT
		}
		return -1, errno
	}
}

// statAt asks about rel below dirfd, or about dirfd itself where rel is "".
// What is on another mount does not exist.
func statAt(dirfd int, rel string, st *unix.Statx_t) error {
	name, long, err := cString(rel)
	if err != nil {
		return err
	}
	p := &name[0]
	if long != nil {
		p = long
	}
	const flags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_EMPTY_PATH
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(dirfd), uintptr(unsafe.Pointer(p)),
		flags, unix.STATX_BASIC_STATS, uintptr(unsafe.Pointer(st)), 0)
	if errno != 0 {
		return errno
	}
	if rel != "" && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return syscall.ENOENT
	}
	return nil
}

// statBelow asks about rel below base. One name is asked for directly; on a longer
// path no directory may be a mount, which only an open can make sure.
func statBelow(base int, rel string, st *unix.Statx_t) error {
	if strings.IndexByte(rel, '/') < 0 {
		return statAt(base, rel, st)
	}
	fd, err := openAt(base, rel, openPath)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return statAt(fd, "", st)
}

// cString is rel as the kernel wants it: in name, which can be on the stack as
// the functions of package unix cannot do, or at long where it does not fit.
func cString(rel string) (name [128]byte, long *byte, err error) {
	if strings.IndexByte(rel, 0) >= 0 {
		return name, nil, syscall.EINVAL
	}
	if copy(name[:len(name)-1], rel) < len(rel) {
		long, err = unix.BytePtrFromString(rel)
	}
	return name, long, err
}

// readBuffer is the size of the buffers that files are read into, in bytes.
// One record of a seq_file that is larger than the buffer comes in pieces, which
// is the same to the file; a large buffer saves calls for maps.
const readBuffer = 64 << 10

// A reader reads files that are open.
type reader struct {
	read readFunc  // read(2), unless a test puts something else in its place
	most int       // bytes of a file
	bufs sync.Pool // of *[]byte, readBuffer long
}

func newReader(most int) reader {
	return reader{read: unix.Read, most: most, bufs: sync.Pool{New: func() any { b := make([]byte, readBuffer); return &b }}}
}

// readWhole reads fd to its end, through a buffer of the pool, and returns
// exactly what was read. once says that a short read is the end.
func (r *reader) readWhole(fd int, once bool) ([]byte, error) {
	pooled := r.bufs.Get().(*[]byte)
	defer r.bufs.Put(pooled)
	content, err := r.readInto(fd, (*pooled)[:0], once, r.most)
	defer clear(content) // it is in no buffer longer than it must
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(content))
	copy(out, content)
	return out, nil
}

// readInto appends what is left of fd to buf, whose spare room is used first,
// up to most bytes in all; more is EFBIG.
func (r *reader) readInto(fd int, buf []byte, once bool, most int) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			longer := append(buf, make([]byte, max(cap(buf), readBuffer))...)[:len(buf)]
			clear(buf)
			buf = longer
		}
		room := buf[len(buf):cap(buf)]
		n, err := r.read(fd, room)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return buf, err
		}
		buf = buf[:len(buf)+n]
		if len(buf) > most {
			return buf, syscall.EFBIG
		}
		if n == 0 || once && n < len(room) {
			return buf, nil
		}
	}
}

// isGone reports whether err says that what was asked for does not exist, which
// nothing but ENOENT and ESRCH says: a process that ends while it is looked at
// gives either. Any other error leaves it open whether there is something.
func isGone(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESRCH)
}

// isShortage reports whether err is of the leaf, or of its node, and not of what
// was asked for: there are too few descriptors or there is too little memory. What
// lacks something for such a reason is not given out.
func isShortage(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}
