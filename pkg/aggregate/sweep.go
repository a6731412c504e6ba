package aggregate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// A fetch is a snapshot under way.
type fetch struct {
	asked time.Time
	done  chan struct{}
	t     *table // set before done is closed
	err   error  // set before done is closed
}

// fresh returns a table that is good, asking the node for one if need be. It
// joins a snapshot under way. When ctx ends first the snapshot goes on, within
// the read deadline, for those who come later.
func (n *node) fresh(ctx context.Context) (*table, error) {
	if t := n.table.Load(); t.keep(n.now()) > 0 {
		return t, nil
	}
	f := n.startFetch(n.policy().Table() / 2)
	return n.await(ctx, f)
}

// newer returns a table whose snapshot began after that moment.
func (n *node) newer(ctx context.Context, than time.Time) (*table, error) {
	for {
		f := n.startFetch(0)
		t, err := n.await(ctx, f)
		if err != nil || !t.moment.Before(than) {
			return t, err
		}
	}
}

func (n *node) await(ctx context.Context, f *fetch) (*table, error) {
	select {
	case <-f.done:
		return f.t, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("node %s: snapshot: %w", n.name, context.Cause(ctx))
	}
}

// giant tells whether that became of a snapshot which was too long, or took too long.
func giant(err error) bool {
	return errors.Is(err, syscall.EFBIG) || errors.Is(err, context.DeadlineExceeded)
}

// giantPause is how long a cluster of which that became is not asked for another, nor a
// node that answers with too much: each takes it, and who asks, seconds.
const giantPause = 20 * time.Second

// startFetch returns the snapshot under way, or starts one, for which the node may
// answer with what it found not longer ago than that.
func (n *node) startFetch(maxAge time.Duration) *fetch {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fetch != nil {
		return n.fetch
	}
	f := &fetch{asked: n.now(), done: make(chan struct{})}
	switch {
	case n.over:
		f.err = context.Canceled
	case f.asked.Before(n.failed.Add(giantPause)):
		f.err = n.health.sweep
	}
	if f.err != nil {
		close(f.done)
		return f
	}
	n.fetch = f
	up := n.up
	n.wg.Add(1)
	go func() {
		defer n.wg.Done()
		f.t, f.err = n.takeSnapshot(maxAge)
		n.firstOnce.Do(func() { close(n.first) })
		n.swept(f.t, f.err)
		n.mu.Lock()
		n.fetch = nil
		if n.cluster && giant(f.err) || errors.Is(f.err, syscall.EFBIG) {
			n.failed = n.now()
		}
		if f.err == nil && n.up == up { // not of a leaf that has gone meanwhile
			n.setClock(f.t.Facts())
			n.dropEnded(n.table.Swap(f.t), f.t)
			n.swaps.Add(1)
			n.numbers.Seen(n.index, f.t.PIDs())
			n.late.Store(0)
			n.names.Store(n.nameTables.of(f.t.Names()))
		}
		n.mu.Unlock()
		close(f.done)
		if n.cluster && f.err == nil {
			if h, err := n.readHints(n.ctx); err == nil {
				n.follow(h)
			}
		}
	}()
	return f
}

// sweep asks all nodes for a table at once and returns one for each, nil for
// those that did not deliver by the sweep's deadline.
func (c *Cluster) sweep(ctx context.Context, nodes []*node) []*table {
	return eachNode(ctx, nodes, func(ctx context.Context, n *node) *table {
		t, _ := n.fresh(ctx) // why not is in the node's health
		return t
	})
}

// listWait is how long a listing waits for the node's rows: for a sweep's time; for those of
// the head, which is the reader's own machine, as long as for any exchange; and for the
// first of all, before which nothing is known of the node, for both. A node whose last
// snapshot did not come in time is asked again, and waited for for an eighth of that: one that
// is well again answers by then, and one that is not costs nobody a sweep's time each time.
func (n *node) listWait() time.Duration {
	t := n.timeouts()
	select {
	case <-n.first:
	default:
		return t.Read + t.Sweep
	}
	if n.index == 0 {
		return max(t.Read, t.sweepWait())
	}
	if n.lagging.Load() {
		return t.sweepWait() / lagShare
	}
	return t.sweepWait()
}

// sweepWait is how long a sweep waits for a node: the rest is for putting together what
// came.
func (t *Timeouts) sweepWait() time.Duration { return t.Sweep - t.Sweep/16 }

// overdue tells whether a snapshot under way has had a sweep's time already: who lists
// the node now would only wait for it as long again.
func (n *node) overdue() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.overdueLocked()
}

// lagShare is the part of a sweep's time that a node which has missed the last one gets.
const lagShare = 8

func (n *node) overdueLocked() bool {
	return n.fetch != nil && n.now().Sub(n.fetch.asked) >= n.listWait()
}

// eachNode calls f for all nodes at once, each with the time that a listing waits for it,
// and returns what came of it in the order of the nodes.
func eachNode[T any](ctx context.Context, nodes []*node, f func(context.Context, *node) T) []T {
	out := make([]T, len(nodes))
	w := newWaits(ctx)
	defer w.end()
	var wg sync.WaitGroup
	for i, n := range nodes {
		ctx := w.of(n)
		wg.Go(func() { out[i] = f(ctx, n) })
	}
	wg.Wait()
	return out
}

// waits are the contexts of a listing, in each of which it waits for some of the nodes: there
// are a few different waits, and thousands of nodes.
type waits struct {
	parent context.Context
	by     map[time.Duration]context.Context
	cancel []context.CancelFunc
}

func newWaits(ctx context.Context) *waits {
	return &waits{parent: ctx, by: make(map[time.Duration]context.Context, 3)}
}

// end ends all of them.
func (w *waits) end() {
	for _, cancel := range w.cancel {
		cancel()
	}
}

// of is the context in which the listing waits for the node.
func (w *waits) of(n *node) context.Context {
	wait := n.listWait()
	ctx := w.by[wait]
	if ctx == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(w.parent, wait)
		w.by[wait], w.cancel = ctx, append(w.cancel, cancel)
	}
	return ctx
}
