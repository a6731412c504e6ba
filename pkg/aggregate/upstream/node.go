package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/lograte"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Timeouts bound the exchanges with a node.
type Timeouts struct {
	Connect time.Duration // opening a connection; default 2 s
	Read    time.Duration // one exchange; default 2 s
	Sweep   time.Duration // how long a listing waits for the slowest node; default 1 s
}

// WithDefaults are the timeouts with the default in place of each that is not set.
func (t Timeouts) WithDefaults() Timeouts {
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&t.Connect, 2 * time.Second}, {&t.Read, 2 * time.Second}, {&t.Sweep, time.Second}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	return t
}

// SweepWait is how long a sweep waits for a node: the rest of its time is for putting
// together what came.
func (t *Timeouts) SweepWait() time.Duration { return t.Sweep - t.Sweep/16 }

// Patience is how long to wait for a front end that itself waits that long for a node.
func (t Timeouts) Patience() time.Duration { return t.Read + t.Sweep + time.Second }

// Config is what a Node is made of. All fields but Tree, Idle and Changed are required.
type Config struct {
	Name     gpid.NodeName
	Index    int
	Address  string // for people
	Dial     Dialer
	Tree     string       // what to attach to; "" for a leaf, NodeTree behind another front end
	Reader   vfs.Identity // as whom the front end itself reads: snapshots and probes
	Timeouts Timeouts
	Log      *slog.Logger
	Now      func() time.Time
	// Idle is the time without an answer after which the node is probed; 0 is probeIdle. One whose
	// connection is that of another node, which is probed, need not be.
	Idle time.Duration
	// Changed is called at each change of state. It must not call the node.
	Changed func(State)
}

// A Node is one machine of a cluster: the session with it, and its health.
type Node struct {
	Config
	Log    *slog.Logger // bounded by time, as a node may cause any line at will
	states *slog.Logger // the same, for changes of its state

	tried   chan struct{} // closed when the node has been reached, or has failed, once
	suspect chan struct{} // holds a token when somebody wants the node probed
	session atomic.Pointer[Session]

	ctx context.Context
	wg  sync.WaitGroup // Run, and what Go has started

	mu     sync.Mutex
	health Health // guarded by mu

	starting sync.Mutex
	over     bool // guarded by starting; nothing is started any more
}

// New makes a node that nothing has been asked of yet. Everything that it starts ends with
// ctx.
func New(ctx context.Context, cfg Config) *Node {
	n := &Node{
		Config:  cfg,
		Log:     lograte.ByMessage(cfg.Log).With("node", string(cfg.Name)),
		states:  lograte.Together(cfg.Log).With("node", string(cfg.Name)),
		tried:   make(chan struct{}),
		suspect: make(chan struct{}, 1),
		ctx:     ctx,
		health:  Health{State: Connecting, Since: cfg.Now()},
	}
	return n
}

// Limits are the timeouts in force.
func (n *Node) Limits() *Timeouts { return &n.Timeouts }

// Context ends when the node is closed.
func (n *Node) Context() context.Context { return n.ctx }

// Go runs f in the background, and reports false if nothing is started any more. Wait waits
// for it.
func (n *Node) Go(f func()) bool {
	if !n.Begin() {
		return false
	}
	go func() {
		defer n.Done()
		f()
	}()
	return true
}

// Begin counts something in that Wait waits for until Done is called, and reports false if
// nothing is started any more.
func (n *Node) Begin() bool {
	n.starting.Lock()
	defer n.starting.Unlock()
	if n.over {
		return false
	}
	n.wg.Add(1)
	return true
}

// Done is the end of what Begin has counted in.
func (n *Node) Done() { n.wg.Done() }

// Wait waits for everything that the node has started, once its context has ended.
func (n *Node) Wait() {
	n.starting.Lock()
	n.over = true
	n.starting.Unlock()
	n.wg.Wait()
}

// Reads reports whether what the front end reads of the node is what who would read.
func (n *Node) Reads(who vfs.Identity) bool {
	return who.Equal(n.Reader) || who.IsRoot() && n.Reader.IsRoot()
}

// AwaitTried waits until the node has been reached, or has failed, once: a request in the
// moment that the front end has started finds it as it is. It says why not.
func (n *Node) AwaitTried(ctx context.Context) error {
	select {
	case <-n.tried:
		return nil
	default:
	}
	select {
	case <-n.tried:
		return nil
	case <-n.ctx.Done():
	case <-ctx.Done():
	}
	return n.unwell(Health{State: Connecting})
}

// Session is the last session with the node, which may have ended; nil is that there was
// none yet.
func (n *Node) Session() *Session { return n.session.Load() }

// Call makes one exchange with the node as who: f gets the root of the node's tree and a
// context that ends with the read deadline. What the exchange takes, and whether it missed
// the deadline, is noted for the node's health. An error that is the want of an answer is
// EHOSTDOWN.
func (n *Node) Call(ctx context.Context, who vfs.Identity, f func(context.Context, vfs.Dir) error) error {
	return n.exchange(ctx, who, n.Tree, func(ctx context.Context, _ *Session, root vfs.Dir) error { return f(ctx, root) })
}

func (n *Node) exchange(ctx context.Context, who vfs.Identity, tree string, f func(context.Context, *Session, vfs.Dir) error) error {
	ctx, cancel := context.WithTimeout(ctx, n.Limits().Read)
	defer cancel()
	start := n.Now()
	var root vfs.Dir
	s, err := n.ready(ctx)
	if err == nil {
		if root, err = s.root(ctx, who, tree); err == nil {
			err = f(ctx, s, root)
		}
	}
	switch {
	case err == nil:
		n.answered(n.Now().Sub(start))
	case ctx.Err() == context.DeadlineExceeded:
		n.Probe()
	}
	return n.unanswered(ctx, s, err)
}

// Continue runs f, which goes on with what an exchange by session s has opened, under the
// same deadline as an exchange.
func (n *Node) Continue(ctx context.Context, s *Session, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, n.Limits().Read)
	defer cancel()
	err := f(ctx)
	if err != nil && ctx.Err() == context.DeadlineExceeded {
		n.Probe()
	}
	return n.unanswered(ctx, s, err)
}

// ready is the session by which to ask the node, or why it is not asked.
func (n *Node) ready(ctx context.Context) (*Session, error) {
	if err := n.AwaitTried(ctx); err != nil {
		return nil, err
	}
	s, h := n.Session(), n.Health()
	if !s.Live() || h.State == Silent {
		return nil, n.unwell(h)
	}
	return s, nil
}

// Unwell is the error of a request that is not even tried, as the node is now.
func (n *Node) Unwell() error { return n.unwell(n.Health()) }

func (n *Node) unwell(h Health) error {
	if h.Err != nil {
		return noAnswer{fmt.Errorf("node %s is %s (%v): %w", n.Name, h.State, h.Err, syscall.EHOSTDOWN)}
	}
	return noAnswer{fmt.Errorf("node %s is %s: %w", n.Name, h.State, syscall.EHOSTDOWN)}
}

// noAnswer is the error of a request that the node did not answer. An answer may be EHOSTDOWN as well,
// of a front end of which another node is one.
type noAnswer struct{ error }

// Unwrap is what errors.Is goes on with.
func (e noAnswer) Unwrap() error { return e.error }

// NoAnswer reports whether an error of an exchange is that there was no answer: no connection, or no
// time.
func NoAnswer(err error) bool {
	return errors.As(err, new(noAnswer)) || errors.Is(err, context.DeadlineExceeded)
}

// Overdue is the error of a request that does not wait for an answer which has had its time.
func (n *Node) Overdue() error {
	return noAnswer{fmt.Errorf("node %s has not answered in time: %w", n.Name, syscall.EHOSTDOWN)}
}

// unanswered makes an error of an exchange that ended for want of an answer one that says
// so: EHOSTDOWN. s is the session of the exchange, nil if it had none. A requester who has
// gone away gets the error of that.
func (n *Node) unanswered(ctx context.Context, s *Session, err error) error {
	switch {
	case err == nil || errors.Is(err, context.Canceled) && ctx.Err() != context.DeadlineExceeded:
		return err
	case errors.Is(err, syscall.EHOSTDOWN):
		return err
	case ctx.Err() == context.DeadlineExceeded:
		return fmt.Errorf("%w (%w)", n.Overdue(), context.DeadlineExceeded)
	case s.ended(), cachepolicy.Unanswered(err):
		return noAnswer{fmt.Errorf("node %s: the connection has ended: %w (%w)", n.Name, syscall.EHOSTDOWN, err)}
	}
	return err
}

// Short makes an error that the node is short of something (files, memory) one that the
// node does not answer: to a reader it would be their own shortage.
func (n *Node) Short(err error) error {
	switch vfs.Errno(err) {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM:
		return fmt.Errorf("node %s: %w (%w)", n.Name, syscall.EHOSTDOWN, err)
	}
	return err
}

// AttrOf is what a node of the tree that was just walked to says of itself, without asking
// twice.
func (n *Node) AttrOf(ctx context.Context, who vfs.Identity, found vfs.Node) (a vfs.Attr, err error) {
	if p, ok := found.(vfs.Previewer); ok {
		a = p.Preview()
	} else {
		err = n.Call(ctx, who, func(ctx context.Context, _ vfs.Dir) error {
			a, err = found.Attr(ctx)
			return err
		})
	}
	a.Keep, a.KeepName = 0, 0
	return a, err
}

// ReadDir reads the whole of a directory, which may have that many entries at most. It is
// called within an exchange.
func (n *Node) ReadDir(ctx context.Context, dir vfs.Dir, most int) (all []vfs.DirEntry, err error) {
	h, err := dir.List(ctx)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	for offset := uint64(0); ; {
		before := len(all)
		if all, err = h.ReadDir(ctx, offset, all, 1024); err != nil || len(all) == before {
			return all, err
		}
		next := all[len(all)-1].Next
		if next <= offset || len(all) > most {
			return nil, fmt.Errorf("node %s: a directory without end, or of more than %d entries: %w", n.Name, most, syscall.EIO)
		}
		offset = next
	}
}
