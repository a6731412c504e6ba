package remotecalls

import (
	"context"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A process is one of the tree, or a thread of it, as the caller is shown it.
type process struct {
	root vfs.Dir
	name string   // of its directory in the root
	task []string // behind that, where it is a thread that was asked for with its process
	id   uint64   // of that directory
	stat []byte
}

// Fields of proc_pid_stat(5).
const (
	fieldGroup   = 5
	fieldSession = 6
	fieldNice    = 19
	fieldStart   = 22
	fieldRT      = 40
	fieldPolicy  = 41
)

// maxFile bounds what is read of a process, in bytes.
const maxFile = 1 << 16

// find finds a process by its number, which is in the tree's numbers.
func (c *callOf) find(ctx context.Context, pid int32) (*process, unix.Errno) {
	return c.findAt(ctx, strconv.Itoa(int(pid)))
}

// findAt finds the process of that name in the root, and the thread of the names behind it.
func (c *callOf) findAt(ctx context.Context, name string, task ...string) (*process, unix.Errno) {
	root, errno := c.root(ctx)
	if errno != 0 {
		return nil, errno
	}
	p := &process{root: root, name: name, task: task}
	names := append(append([]string{name}, task...), "stat")
	h, ids, err := vfs.OpenPath(ctx, root, names...)
	if err == nil {
		p.id = ids[0]
		p.stat, err = vfs.ReadAll(ctx, h, maxFile)
		h.Close()
	}
	if err == nil {
		return p, 0
	}
	if errno = absent(err); errno == unix.ESRCH {
		// A listing that a node was missing from has the same error as a process that has ended.
		_, err = vfs.ReadFile(ctx, root, maxFile, "cluster", "where", name)
		if absent(err) == unix.EHOSTDOWN {
			errno = unix.EHOSTDOWN
		}
	}
	return nil, errno
}

// root is the tree as it is shown to the caller.
func (c *callOf) root(ctx context.Context) (vfs.Dir, unix.Errno) {
	root, err := c.s.cfg.Tree(ctx, c.who.reads(), false)
	if errors.Is(err, unix.EACCES) {
		return nil, unix.ESRCH // who is shown nothing
	}
	return root, absent(err)
}

// absent is the errno of a call for an error of the tree's.
func absent(err error) unix.Errno {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unix.EHOSTDOWN
	}
	switch errno := vfs.Errno(err); errno {
	case unix.ENOENT, unix.ESRCH, unix.ENOTDIR:
		return unix.ESRCH
	case unix.EHOSTDOWN, unix.ETIMEDOUT, unix.EHOSTUNREACH:
		return unix.EHOSTDOWN
	case unix.EACCES, unix.EPERM:
		return unix.EPERM
	}
	return unix.EIO
}

// read reads a file of the process.
func (p *process) read(ctx context.Context, name string) ([]byte, unix.Errno) {
	names := append(append([]string{p.name}, p.task...), name)
	h, ids, err := vfs.OpenPath(ctx, p.root, names...)
	if err != nil {
		return nil, absent(err)
	}
	defer h.Close()
	if ids[0] != p.id {
		return nil, unix.ESRCH // the name is another process's by now
	}
	text, err := vfs.ReadAll(ctx, h, maxFile)
	return text, absent(err)
}

// field is a number of its stat file.
func (p *process) field(n int) (int64, unix.Errno) {
	v, ok := procfile.StatNumber(p.stat, n)
	if !ok {
		return 0, unix.EIO // a node that sends what no kernel does
	}
	return v, 0
}

// last is the number that the process, or the thread, was asked for by.
func (p *process) last() string {
	if len(p.task) > 0 {
		return p.task[len(p.task)-1]
	}
	return p.name
}

// A target is a process as cluster/ctl takes it.
type target struct {
	text string
	uids []uint32 // real, effective, saved and for files
}

// whole is the process as a target of what acts on all of it, as signals and limits do; each is
// the thread alone, where it is not the first of its process.
func (p *process) whole(ctx context.Context) (target, unix.Errno) { return p.target(ctx, true) }
func (p *process) each(ctx context.Context) (target, unix.Errno)  { return p.target(ctx, false) }

func (p *process) target(ctx context.Context, whole bool) (t target, errno unix.Errno) {
	status, errno := p.read(ctx, "status")
	if errno != 0 {
		return t, errno
	}
	tgid, ok1 := procfile.StatusNumber(status, "Tgid")
	tid, ok2 := procfile.StatusNumber(status, "Pid")
	t.uids = ids(procfile.StatusValue(status, "Uid"))
	if !ok1 || !ok2 || len(t.uids) != 4 || tgid <= 0 || tid <= 0 {
		return t, unix.EIO
	}
	if tgid == tid {
		start, errno := p.field(fieldStart)
		t.text = strconv.FormatInt(tgid, 10) + "#" + strconv.FormatInt(start, 10)
		return t, errno
	}
	t.text = strconv.FormatInt(tgid, 10)
	if !whole {
		t.text += "/" + strconv.FormatInt(tid, 10)
	}
	return t, 0
}
