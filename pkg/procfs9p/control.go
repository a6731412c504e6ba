package procfs9p

import (
	"context"
	"fmt"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/actor"
	"github.com/aggrfs/aggrfs/internal/control"
	"github.com/aggrfs/aggrfs/pkg/procfs9p/acts"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// Control is who carries out actions on processes, and on which.
type Control struct {
	Actors  *actor.Pool
	OwnOnly bool // nobody, root neither, acts on a process that they do not run
}

// newActs is what acts on processes of the leaf's node; nil is that nobody may. A number of the
// procfs must be the same process's to an actor.
func newActs(l *Leaf) (*acts.Server, error) {
	c := l.cfg.Control
	if c == nil {
		return nil, nil
	}
	if int(l.self) != unix.Getpid() {
		return nil, fmt.Errorf("%s is the procfs of another pid namespace, where nobody can act on processes: leave --control out", l.cfg.Root)
	}
	// An answer that says that there was no time must come in time.
	return &acts.Server{
		Node: opener{l}, Actors: c.Actors, OwnOnly: c.OwnOnly, Time: l.cfg.ReadTimeout * 3 / 4, Audit: control.NewAudit(l.cfg.Log),
	}, nil
}

// control is the root of the tree of control, which is who's.
func (s *session) control(ctx context.Context) (vfs.Dir, error) {
	if s.leaf.acts == nil {
		return nil, syscall.ENOENT
	}
	return s.leaf.acts.Dir(s.rpcDir(control.Tree), s.who, vfs.OriginOf(ctx)), nil
}

// An opener is an acts.Node.
type opener struct{ *Leaf }

// OpenProcess implements acts.Node.
func (o opener) OpenProcess(ctx context.Context, pid int32) (dir int, id uint64, err error) {
	dir, err = run(ctx, o.itself, uint64(pid), false, func() (int, error) {
		fd, found, err := o.procs.open(pid)
		if err != nil {
			return -1, err
		}
		defer unix.Close(fd)
		id = found
		return openAt(fd, ".", openDir)
	})
	return dir, id, err
}

// PIDs implements acts.Node.
func (o opener) PIDs(ctx context.Context) ([]int32, error) {
	_, all, err := o.survey(ctx)
	pids := make([]int32, len(all))
	for i, p := range all {
		pids[i] = p.pid
	}
	return pids, err
}
