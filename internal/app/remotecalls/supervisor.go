// Package remotecalls answers the system calls of a command that name processes of other
// machines: kill(2) and its kin, priorities, affinity, scheduling and limits.
//
// # Model
//
// The command has the filter of package seccomp, which sends here what names a process that is
// not this kernel's. Who reads (getpriority, kill with signal 0) is answered out of the merged
// tree, as it is shown to them. Who acts has the request written to the tree's cluster/ctl, and
// the kernel of the process's own node decides; where there is no such file, control is not
// allowed, and the answer is EPERM. What the tree does not show to them does not exist: ESRCH,
// before any node is asked.
//
// # As whom
//
// As the thread that calls is at that moment, never as this process is: its real and effective
// user, its groups and capabilities are read from the native procfs, and after that the kernel
// says that the call still waits, so that no other thread has had its number. User 0 counts as root
// only with the capability that the call takes, in the machine's first user namespace. With real and
// effective users that differ a signal is sent as the one, and if its node's kernel refuses that, as
// the other: kill(2) takes both.
//
// # Once
//
// A call that a signal interrupts is made anew by the kernel (before Linux 5.19). An action
// whose answer nobody got is not carried out again for the same thread's same call: that waits
// for the first, and returns what that has.
//
// # Failure
//
// Every call ends at a deadline, also one whose arguments are in memory that does not come. A node that does not answer is EHOSTDOWN, never ESRCH, which
// means gone. No server is EIO, as in the tree.
package remotecalls

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/seccomp"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Config is what a Supervisor needs.
type Config struct {
	Listener *seccomp.Listener // it becomes the Supervisor's
	Native   string            // a native procfs
	// Tree is the root of the merged tree as it is shown to somebody, or as somebody acts through
	// it. It may be called concurrently. An error is why there is none.
	Tree func(ctx context.Context, who vfs.Identity, acts bool) (vfs.Dir, error)
	// Mount is the device number of the tree's mount, as mountinfo has it; "" is not known.
	Mount string
	// Shift is how much earlier than to this process the machine has booted in the tree; whole seconds.
	Shift time.Duration
	// Deadline bounds each call; zero is 10 s.
	Deadline time.Duration
	Log      *slog.Logger // nil is slog.Default
}

const (
	// maxCalls is how many calls are carried out at once; others wait. A call is a thread that waits.
	maxCalls = 1024
	// Of calls about processes whose numbers are that near to each other, which are mostly of one
	// node, so many are carried out at once: others need not wait for a node that is slow.
	laneWidth = 10_000_000
	laneCalls = 32
)

// A Supervisor answers the calls of one command.
type Supervisor struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	places *semaphore.Weighted
	tasks  sync.WaitGroup
	once   onceOnly
	groups groupCache
	acted  actedOn

	accesses accesses

	mu    sync.Mutex
	lanes map[int64]*lane
}

// A lane is what is carried out for numbers that are near to each other.
type lane struct {
	places *semaphore.Weighted
	users  int
}

// Start answers until Close.
func Start(cfg Config) *Supervisor {
	if cfg.Deadline <= 0 {
		cfg.Deadline = 10 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s := &Supervisor{cfg: cfg, places: semaphore.NewWeighted(maxCalls), lanes: make(map[int64]*lane)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.tasks.Go(s.receive)
	return s
}

// Close ends it. Calls that wait, and all that come, are ENOSYS to who makes them.
func (s *Supervisor) Close() error {
	s.cancel()
	s.cfg.Listener.Stop()
	s.tasks.Wait()
	return s.cfg.Listener.Close()
}

func (s *Supervisor) receive() {
	for {
		n, err := s.cfg.Listener.Receive()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				s.cfg.Log.Error("calls about processes of other machines are not answered any more", "err", err)
			}
			return
		}
		if s.places.Acquire(s.ctx, 1) != nil {
			return
		}
		s.tasks.Go(func() {
			defer s.places.Release(1)
			s.answer(&n)
		})
	}
}

// answer answers one call.
func (s *Supervisor) answer(n *seccomp.Notification) {
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.Deadline)
	defer cancel()
	if n.TID == 0 { // of a pid namespace that this process does not see
		s.cfg.Listener.Answer(n.ID, fails(unix.EPERM))
		return
	}
	leave, err := s.enter(ctx, laneOf(n))
	if err != nil {
		s.cfg.Listener.Answer(n.ID, fails(unix.EHOSTDOWN))
		return
	}
	defer leave()
	who, err := callerOf(s.cfg.Native, n.TID)
	if !s.cfg.Listener.Valid(n.ID) {
		return // the call has ended, and who may be somebody else
	}
	if err != nil {
		s.cfg.Log.Warn("a call cannot be answered: its thread cannot be read", "tid", n.TID, "err", err)
		s.cfg.Listener.Answer(n.ID, fails(unix.EPERM))
		return
	}
	c := &callOf{s: s, n: n, who: who, mem: memoryOf(ctx, s, n, &who)}
	defer c.mem.close()
	a := c.answer(ctx)
	if s.ctx.Err() != nil {
		return // the listener is closed next
	}
	got := s.cfg.Listener.Answer(n.ID, a)
	if c.action != nil {
		c.action.answered(got)
	}
}

// laneOf is the lane of a call.
func laneOf(n *seccomp.Notification) int64 {
	arg := 0
	switch n.Nr {
	case unix.SYS_GETPRIORITY, unix.SYS_SETPRIORITY, unix.SYS_IOPRIO_GET, unix.SYS_IOPRIO_SET:
		arg = 1
	}
	pid := int64(n.Int(arg))
	return max(pid, -pid) / laneWidth
}

// enter waits until another call of the lane may be carried out.
func (s *Supervisor) enter(ctx context.Context, number int64) (leave func(), err error) {
	s.mu.Lock()
	l := s.lanes[number]
	if l == nil {
		l = &lane{places: semaphore.NewWeighted(laneCalls)}
		s.lanes[number] = l
	}
	l.users++
	s.mu.Unlock()
	release := func() {
		s.mu.Lock()
		if l.users--; l.users == 0 {
			delete(s.lanes, number)
		}
		s.mu.Unlock()
	}
	if err := l.places.Acquire(ctx, 1); err != nil {
		release()
		return nil, err
	}
	return func() { l.places.Release(1); release() }, nil
}

func fails(errno unix.Errno) seccomp.Answer                { return seccomp.Answer{Errno: errno} }
func returns[T ~int | ~int32 | ~int64](v T) seccomp.Answer { return seccomp.Answer{Value: int64(v)} }

// kernel leaves a call to this machine's kernel, which has no such process, by what its registers
// hold: it knows the answer to a call that is wrong in itself.
var kernel = seccomp.Answer{Continue: true}
