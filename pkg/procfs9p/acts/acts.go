// Package acts carries out batches of actions on the processes of a node: it finds the process that
// each is about, by the number that the leaf has given its directory, and has the requester's actor
// do it. The language is that of package control.
package acts

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/actor"
	"github.com/aggrfs/aggrfs/internal/control"
	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/internal/rpcfile"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// A Node is whose processes they are. Its methods may be called concurrently.
type Node interface {
	// OpenProcess opens the directory of the process, or thread, of that number for reading, and
	// says which number it has in the leaf's tree. ENOENT and ESRCH are that there is none.
	OpenProcess(ctx context.Context, pid int32) (dir int, id uint64, err error)
	// PIDs are the processes that there are.
	PIDs(ctx context.Context) ([]int32, error)
}

// A Server carries out batches. Its methods may be called concurrently.
type Server struct {
	Node    Node
	Actors  *actor.Pool
	OwnOnly bool          // nobody, root neither, acts on a process that they do not run
	Time    time.Duration // how long a batch may take
	Audit   *control.Audit
}

// Dir is the tree of control of a requester, who attaches from there.
func (s *Server) Dir(attr vfs.Attr, who vfs.Identity, from vfs.Origin) vfs.Dir {
	files := rpcfile.Server{Most: 2 * control.MaxBatch, Answer: func(ctx context.Context, batch []byte) ([]byte, error) {
		return s.act(ctx, who, from, batch)
	}}
	return files.Dir(attr, control.File)
}

// A batch is that of one requester, being carried out.
type batch struct {
	*Server
	ctx   context.Context
	who   vfs.Identity
	limit control.Limit
}

// act carries out the requests of a batch, one after the other. What the time does not suffice for
// is not done, and answered ETIMEDOUT.
func (s *Server) act(ctx context.Context, who vfs.Identity, from vfs.Origin, text []byte) ([]byte, error) {
	limit, rest, err := control.CutHeader(text)
	if err != nil {
		return nil, err
	}
	requests, err := control.ParseRequests(rest)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", syscall.EINVAL, err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.Time)
	defer cancel()
	limit.Own = limit.Own || s.OwnOnly
	b := batch{s, ctx, who, limit}
	answers := control.AppendHeader(nil, control.Limit{})
	for _, r := range requests {
		value, err := b.answer(r)
		a := control.Answered(r.ID, value, err)
		s.Audit.Note(who, from, r.Action, "", r.Target, a.Errno)
		answers = control.AppendAnswer(answers, a)
	}
	return answers, nil
}

// answer is what comes of one request.
func (b batch) answer(r control.Request) (string, error) {
	if err := b.ctx.Err(); err != nil {
		return "", fmt.Errorf("not done: %w", err)
	}
	if group, ok := strings.CutPrefix(r.Target, "-"); ok {
		pgid, ok := parsePID(group)
		if !ok || !r.ForGroups() {
			return "", fmt.Errorf("%s of a process group: %w", r.Verb, syscall.EINVAL)
		}
		return b.group(pgid, r.Action)
	}
	pid, dir, tid, err := parseTarget(r.Target)
	if err != nil {
		return "", err
	}
	return b.process(pid, dir, tid, r.Action)
}

// parsePID reads a process's number.
func parsePID(text string) (int32, bool) {
	n, err := strconv.ParseUint(text, 10, 31)
	return int32(n), err == nil && n > 0
}

// parseTarget reads PID@DIR[/TID]; tid 0 is the process.
func parseTarget(text string) (pid int32, dir uint64, tid int32, err error) {
	process, thread, isThread := strings.Cut(text, "/")
	number, id, ok := strings.Cut(process, "@")
	pid, isPID := parsePID(number)
	dir, err = strconv.ParseUint(id, 10, 64)
	if isThread {
		tid, isThread = parsePID(thread)
		ok = ok && isThread
	}
	if !ok || !isPID || err != nil {
		err = fmt.Errorf("%q is no target: %w", text, syscall.EINVAL)
	}
	return pid, dir, tid, err
}

// errGone is ESRCH with a reason.
var errGone = fmt.Errorf("it has ended: %w", syscall.ESRCH)

// process acts on a process that has that number in the tree, or on a thread of it.
func (b batch) process(pid int32, dir uint64, tid int32, a control.Action) (string, error) {
	fd, _, err := b.open(pid, func(fd int, id uint64) error {
		if id != dir {
			return errGone
		}
		return b.mayReach(fd)
	})
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	if tid == 0 {
		return b.ask(fd, pid, 0, a)
	}
	thread, err := b.openThread(fd, tid)
	if err != nil {
		return "", err
	}
	defer unix.Close(thread)
	return b.ask(thread, pid, tid, a)
}

// open opens the directory of the process of that number, if it is what check says.
func (b batch) open(pid int32, check func(dir int, id uint64) error) (dir int, id uint64, err error) {
	dir, id, err = b.Node.OpenProcess(b.ctx, pid)
	if err == nil {
		if err = check(dir, id); err != nil {
			unix.Close(dir)
		}
	}
	return dir, id, ended(err)
}

// ended is the error of what has ended meanwhile, where that is what it means.
func ended(err error) error {
	if errno := vfs.Errno(err); errno == syscall.ENOENT || errno == syscall.ESRCH {
		return errGone
	}
	return err
}

// mayReach is why a batch may not act on the process whose directory is open.
func (b batch) mayReach(dir int) error {
	if !b.limit.Own {
		return nil
	}
	status, err := readSmall(dir, "status")
	if err != nil {
		return err
	}
	if !procfile.RunBy(status, b.who.UID) {
		return fmt.Errorf("only own processes may be acted on here: %w", syscall.EPERM)
	}
	return nil
}

// openThread opens the directory of a thread of the process whose directory is open, by its
// number in the root, which an actor can send signals through.
func (b batch) openThread(process int, tid int32) (dir int, err error) {
	dir, _, err = b.open(tid, func(thread int, _ uint64) error {
		if !sameProcess(process, thread) {
			return errGone
		}
		return nil
	})
	return dir, err
}

// sameProcess reports whether two directories are of threads of one process.
func sameProcess(process, thread int) bool {
	a, errA := readSmall(process, "status")
	b, errB := readSmall(thread, "status")
	of, okA := procfile.StatusNumber(a, "Tgid")
	is, okB := procfile.StatusNumber(b, "Tgid")
	return errA == nil && errB == nil && okA && okB && of == is
}

// readSmall reads a small file below a directory that is open.
func readSmall(dir int, name string) ([]byte, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 8<<10)
	n, err := unix.Read(fd, buf)
	return buf[:max(n, 0)], err
}

// ask has the requester's actor do it.
func (b batch) ask(dir int, pid, tid int32, a control.Action) (string, error) {
	answer := b.Actors.Do(b.ctx, b.who, actor.Job{Action: a, PID: int(pid), TID: int(tid), Dir: dir})
	return answer.Value, answer.Err()
}
