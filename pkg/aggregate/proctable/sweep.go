package proctable

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

// A fetch is a snapshot under way.
type fetch struct {
	requested time.Time
	figures   bool // they are wanted, too
	done      chan struct{}
	t         *Table // set before done is closed
	err       error  // set before done is closed
}

// Fresh returns a table that is fresh, asking the node for one if need be. It
// joins a snapshot under way. When ctx ends first the snapshot goes on, within
// the read deadline, for those who come later.
func (n *Node) Fresh(ctx context.Context) (*Table, error) {
	if t := n.table.Load(); t.Left(n.Now()) > 0 {
		return t, nil
	}
	return n.await(ctx, n.Sweep())
}

// Newer returns a table whose snapshot began after that moment.
func (n *Node) Newer(ctx context.Context, than time.Time) (*Table, error) {
	for {
		t, err := n.await(ctx, n.startFetch(0, false))
		if err != nil || !t.moment.Before(than) {
			return t, err
		}
	}
}

func (n *Node) await(ctx context.Context, f *fetch) (*Table, error) {
	select {
	case <-f.done:
		return f.t, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("node %s: snapshot: %w", n.Name, context.Cause(ctx))
	}
}

// sparePause is how long a node is not asked for another snapshot of which one was too long:
// each takes it, and its requesters, seconds.
const sparePause = 20 * time.Second

// Sweep joins the snapshot under way, or starts one, for which the node may answer with what
// it found half of a table's time ago. It does not wait.
func (n *Node) Sweep() *fetch { return n.startFetch(n.Policy().Table()/2, false) }

// startFetch returns the snapshot under way, or starts one, for which the node may
// answer with what it found not longer ago than that, and has its figures asked for, too.
func (n *Node) startFetch(maxAge time.Duration, withFigures bool) *fetch {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fetch != nil {
		return n.fetch
	}
	f := &fetch{requested: n.Now(), figures: withFigures, done: make(chan struct{})}
	switch {
	case n.sweepErr != nil && f.requested.Before(n.refused.Add(sparePause)):
		f.err = n.sweepErr
	case !n.Go(func() { n.run(f, maxAge) }):
		f.err = context.Canceled
	default:
		n.fetch = f
		return f
	}
	close(f.done)
	return f
}

// run takes the snapshot, and puts its table in place of the one before.
func (n *Node) run(f *fetch, maxAge time.Duration) {
	f.t, f.err = n.takeSnapshot(maxAge, f.figures)
	n.firstOnce.Do(func() { close(n.first) })
	if f.err == nil {
		n.complete(f.t)
	}
	up := !n.down()
	n.mu.Lock()
	n.noteLocked(up, f.t, f.err)
	n.fetch = nil
	if f.err != nil && errors.Is(f.err, syscall.EFBIG) {
		n.refused = n.Now()
	}
	if f.err == nil && f.t.session.Live() { // not of a leaf that has gone meanwhile
		n.dropEnded(n.table.Swap(f.t), f.t)
		n.sweeps.Add(1)
		n.took.Store(int64(max(n.Now().Sub(f.requested), 1)))
		n.Numbers.Seen(n.Index, f.t.PIDs())
		n.late.Store(0)
	}
	n.mu.Unlock()
	close(f.done)
	if n.traits.Swept != nil && f.err == nil {
		n.traits.Swept()
	}
}

// complete gives a table what is told apart by its facts: the clock of its boot, and the
// names in its directories.
func (n *Node) complete(t *Table) {
	facts := t.Facts()
	if k := n.Known(); k != nil && k.session == t.session && k.Clock.BootID == facts.BootID {
		t.Clock = k.Clock
	} else {
		t.Clock = n.clocks.of(facts)
	}
	t.Names = n.names.of(t.Table.Names())
}

// swept notes how the last snapshot went, and what the table lacks that came of it.
// One that failed is logged, once for as long as it fails; so is one that lacks
// something.
func (n *Node) swept(t *Table, err error) {
	up := !n.down()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.noteLocked(up, t, err)
}

func (n *Node) noteLocked(up bool, t *Table, err error) {
	if err != nil && n.sweepErr == nil && up {
		n.Log.Warn("no snapshot", "err", err)
	}
	n.sweepErr = err
	n.lagging.Store(cachepolicy.Unanswered(err))
	if t == nil {
		return
	}
	lacks := lacking(t.Skipped(), t.Facts().Lacks)
	if lacks != nil && n.lacks == nil {
		n.Log.Warn("a snapshot is not whole", "err", lacks)
	}
	n.lacks = lacks
}

// ListWait is how long a listing waits for the node's rows: for a sweep's time; for those of
// the head, which is the reader's own machine, as long as for any exchange; and for the
// first of all, before which nothing is known of the node, for both. A node whose last
// snapshot did not come in time is asked again, and waited for for an eighth of that: one that
// is well again answers by then, and one that is not costs nobody a sweep's time each time.
func (n *Node) ListWait() time.Duration {
	t := n.Limits()
	select {
	case <-n.first:
	default:
		return t.Read + t.Sweep
	}
	if n.Index == 0 {
		return max(t.Read, t.SweepWait())
	}
	if n.lagging.Load() {
		return t.SweepWait() / lagShare
	}
	return t.SweepWait()
}

// lagShare is the part of a sweep's time that a node which has missed the last one gets.
const lagShare = 8

// overdue reports whether a snapshot under way has had a sweep's time already: a listing
// would only wait for it as long again.
func (n *Node) overdue() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.overdueLocked()
}

func (n *Node) overdueLocked() bool {
	return n.fetch != nil && n.Now().Sub(n.fetch.requested) >= n.ListWait()
}

// Each calls f for all nodes at once, each with the time that a listing waits for it,
// and returns what came of it in the order of the nodes.
func Each[T any](ctx context.Context, nodes []*Node, f func(context.Context, *Node) T) []T {
	out := make([]T, len(nodes))
	w := NewWaits(ctx)
	defer w.End()
	var wg sync.WaitGroup
	for i, n := range nodes {
		ctx := w.Of(n)
		wg.Go(func() { out[i] = f(ctx, n) })
	}
	wg.Wait()
	return out
}

// Waits are the contexts of a listing, in each of which it waits for some of the nodes: there
// are a few different waits, and thousands of nodes.
type Waits struct {
	parent context.Context
	by     map[time.Duration]context.Context
	cancel []context.CancelFunc
}

// NewWaits are the waits of a listing that ends with ctx.
func NewWaits(ctx context.Context) *Waits {
	return &Waits{parent: ctx, by: make(map[time.Duration]context.Context, 3)}
}

// End ends all of them.
func (w *Waits) End() {
	for _, cancel := range w.cancel {
		cancel()
	}
}

// Of is the context in which the listing waits for the node.
func (w *Waits) Of(n *Node) context.Context {
	wait := n.ListWait()
	ctx := w.by[wait]
	if ctx == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(w.parent, wait)
		w.by[wait], w.cancel = ctx, append(w.cancel, cancel)
	}
	return ctx
}

// Cgroups is a table of the cgroup files of all processes, of now or as they are cached.
func (n *Node) Cgroups(ctx context.Context) (*Table, error) {
	c := &n.cgroups
	if err := c.turn.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer c.turn.Release(1)
	asked, policy := n.Now(), n.Policy()
	if h := c.cached.Load(); h != nil && h.by.Live() && asked.Before(h.until) {
		return h.t, nil
	}
	got, by, err := n.exchangeSnapshot("cgroup")
	if err != nil {
		return nil, err
	}
	t := &Table{Table: got, session: by}
	if cache := time.Duration(policy.Rule(string(n.Name), "1/cgroup").Cache); cache > 0 {
		c.cached.Store(&cachedCgroups{t, by, asked.Add(min(cache, readAheadMost))})
		if n.Policy() != policy { // by which they may not be cached
			c.drop()
		}
	}
	return t, nil
}

// Relay answers a front end above, which has this one as its upstream: it is a
// [snapshot.Source] of the last table, if that is young enough and of the files that are
// asked for, or of what the node says now. The answer has the node's own pids and times.
func (n *Node) Relay(ctx context.Context, req snapshot.Request) ([]byte, error) {
	if len(req.Files) == 0 {
		f, err := n.Figures(ctx, req.MaxAge)
		if err != nil {
			return nil, err
		}
		return snapshot.AnswerFigures(f.Figures, n.figures.known(req.Known)), nil
	}
	if !slices.Equal(req.Files, n.Policy().Prefetch()) {
		t, _, err := n.exchangeSnapshot(req.Files...)
		if err != nil {
			return nil, err
		}
		req.Remember, req.Held = false, 0
		return t.Answer(req, 0), nil
	}
	since := n.Now().Add(-req.MaxAge)
	t := n.table.Load()
	for !t.Live() || t.moment.Before(since) || !slices.Equal(t.Files(), req.Files) {
		var err error
		if t, err = n.Newer(ctx, since); err != nil {
			return nil, err
		}
		if !slices.Equal(t.Files(), req.Files) {
			return nil, syscall.EAGAIN // the policy has just changed
		}
	}
	var f *snapshot.Figures
	if req.Figures {
		got, err := n.Figures(ctx, req.MaxAge)
		if err != nil && !errors.Is(err, ErrNoFigures) {
			return nil, err
		}
		f = got.Figures
	}
	return t.AnswerWith(req, n.Now().Sub(t.moment), f, n.figures.known(req.Known)), nil
}

// hasFigures reports whether who answers by session s is known to tell figures.
func (n *Node) hasFigures(s *upstream.Session) bool {
	t := n.table.Load()
	return t != nil && t.session == s && t.Facts().Monotonic != 0
}

// Figures are the node's figures as they were not longer ago than that, by one exchange for them
// alone if need be. ErrNoFigures is that it has none.
func (n *Node) Figures(ctx context.Context, maxAge time.Duration) (f NodeFigures, err error) {
	if err := n.figures.turn.Acquire(ctx, 1); err != nil {
		return f, err
	}
	defer n.figures.turn.Release(1)
	if last := n.figures.newest.Load(); last != nil && last.By.Live() && n.Now().Sub(last.At) < maxAge {
		return *last, nil
	}
	if n.Known() == nil { // which tells if it has any
		if _, err := n.Fresh(ctx); err != nil {
			return f, err
		}
	}
	if !n.hasFigures(n.Session()) {
		return f, ErrNoFigures
	}
	held, err := n.Node.Figures(maxAge, n.figures.last(), n.answerLimits())
	if err != nil {
		return f, fmt.Errorf("figures: %w", err)
	}
	n.figures.keep(held, n.Now())
	return *n.figures.newest.Load(), nil
}

// Sample is a table whose snapshot began now or later, and the figures that came with it, if the
// node tells any.
func (n *Node) Sample(ctx context.Context) (*Table, error) {
	if n.Known() == nil {
		if t, err := n.Fresh(ctx); err != nil || t.Facts().Monotonic == 0 {
			return t, err
		}
	}
	for than := n.Now(); ; {
		f := n.startFetch(0, true)
		t, err := n.await(ctx, f)
		if err != nil || f.figures && !t.requested.Before(than) {
			return t, err
		}
	}
}
