package procfs9p

import (
	"context"
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// node is one object of the main tree as one session sees it: a path below the
// root, or below the directory of one process. It holds nothing open.
type node struct {
	s    *session
	id   uint64
	typ  vfs.Type
	pid  int32  // 0 where the path does not lead through a process
	proc uint64 // the process's id, where pid is not 0
	rel  string // relative to the root or to the process directory; "" is that itself
}

// ID implements vfs.Node.
func (n node) ID() uint64 { return n.id }

// Type implements vfs.Node.
func (n node) Type() vfs.Type { return n.typ }

// Attr implements vfs.Node: what fstatat(2) says.
func (n node) Attr(ctx context.Context) (vfs.Attr, error) {
	mayBlock := n.rel != "" && n.table().MayBlockIn(parentOf(n.rel))
	st, err := run(ctx, n.s, n.lockKey(), mayBlock, func() (st unix.Statx_t, err error) {
		return st, n.stat(&st)
	})
	if err != nil {
		return vfs.Attr{}, err
	}
	a := attrOf(n.id, &st)
	if n.isOwn(n.proc) {
		// A thread that lends its rights at this moment would look like the borrower's.
		a.UID, a.GID = uint32(os.Getuid()), uint32(os.Getgid())
	}
	return a, nil
}

// lockKey names what a call on n may wait for: its process's locks, or the
// node's own.
func (n node) lockKey() uint64 {
	if n.pid != 0 {
		return n.proc
	}
	return n.id
}

// table is what is known of the files beside and below n.
func (n node) table() *procfile.Table { return procfile.In(n.pid != 0) }

// child is the node of that name in n.
func (n node) child(name string, typ vfs.Type) node {
	c := n
	c.typ, c.rel, c.id = typ, name, n.s.leaf.childID(n.id, name)
	if n.rel != "" {
		c.rel = n.rel + "/" + name
	}
	return c
}

// wrap gives n the methods of its type.
func (n node) wrap() vfs.Node {
	switch n.typ {
	case vfs.TypeDir:
		return dir{n}
	case vfs.TypeLink:
		return link{n}
	}
	return file{n}
}

// The methods below make system calls: they run within run.

// enter opens the directory that rel is relative to, if that use of n is allowed,
// and says whose it is. Release it with closeBase.
func (n node) enter(use use) (fd int, proc uint64, err error) {
	l := n.s.leaf
	if n.pid == 0 {
		return l.rootFD(), 0, nil
	}
	fd, proc, err = l.procs.open(n.pid)
	if err != nil {
		return -1, 0, err
	}
	if n.proc != 0 && n.proc != proc {
		err = syscall.ENOENT // the pid is another process's now
	} else {
		err = n.ownRefuses(proc, use)
	}
	if err != nil {
		unix.Close(fd)
		return -1, 0, err
	}
	return fd, proc, nil
}

func (n node) closeBase(fd int) {
	if n.pid != 0 {
		unix.Close(fd)
	}
}

// open opens n for that use.
func (n node) open(use use, flags uint64) (int, error) {
	base, _, err := n.enter(use)
	if err != nil {
		return -1, err
	}
	defer n.closeBase(base)
	rel := n.rel
	if rel == "" {
		rel = "."
	}
	return openAt(base, rel, flags)
}

// stat asks about n.
func (n node) stat(st *unix.Statx_t) error {
	base, _, err := n.enter(lookUp)
	if err != nil {
		return err
	}
	defer n.closeBase(base)
	return statBelow(base, n.rel, st)
}

func pidName(pid int32) string { return strconv.Itoa(int(pid)) }

// parsePID reads a name as procfs does: decimal, no leading zero.
func parsePID[S string | []byte](name S) (pid int32, ok bool) {
	if len(name) == 0 || len(name) > 10 || name[0] == '0' {
		return 0, false
	}
	n := int64(0)
	for i := range len(name) {
		c := name[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return int32(n), n <= math.MaxInt32
}

// parentOf is the directory that rel is in; "" is the one that rel is relative to.
func parentOf(rel string) string {
	if i := strings.LastIndexByte(rel, '/'); i >= 0 {
		return rel[:i]
	}
	return ""
}

func attrOf(id uint64, st *unix.Statx_t) vfs.Attr {
	return vfs.Attr{
		ID: id, Mode: uint32(st.Mode), UID: st.Uid, GID: st.Gid, Nlink: st.Nlink, Size: st.Size,
		Atime: timeOf(st.Atime), Mtime: timeOf(st.Mtime), Ctime: timeOf(st.Ctime),
	}
}

func timeOf(t unix.StatxTimestamp) time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }
