package aggregate

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// maxKeep bounds how long an upstream can have its answer kept.
const maxKeep = time.Minute

// snapshotName is the attach name of a leaf's snapshots. A subtree's are at
// snapshotName + its own attach name.
const snapshotName = "snapshot"

// A fetch is a snapshot under way.
type fetch struct {
	began time.Time
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
	f := n.startFetch()
	return n.await(ctx, f)
}

// newer returns a table whose snapshot began after that moment.
func (n *node) newer(ctx context.Context, than time.Time) (*table, error) {
	for {
		f := n.startFetch()
		t, err := n.await(ctx, f)
		if err != nil || !f.began.Before(than) {
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

// startFetch returns the snapshot under way, or starts one.
func (n *node) startFetch() *fetch {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fetch != nil {
		return n.fetch
	}
	f := &fetch{began: n.now(), done: make(chan struct{})}
	if n.over {
		f.err = context.Canceled
		close(f.done)
		return f
	}
	n.fetch = f
	up := n.up
	n.wg.Add(1)
	go func() {
		defer n.wg.Done()
		f.t, f.err = n.takeSnapshot()
		n.swept(f.err)
		n.mu.Lock()
		n.fetch = nil
		if f.err == nil && n.up == up { // not of a leaf that has gone meanwhile
			n.dropEnded(n.table.Swap(f.t), f.t)
			n.swaps.Add(1)
			n.numbers.seen(n.index, f.t)
			n.late.Store(0)
		}
		n.mu.Unlock()
		close(f.done)
		if n.cluster && f.err == nil {
			if h, err := n.readHints(n.ctx); err == nil {
				n.follow(h)
			}
		}
		if f.err == nil && n.names.Load() == nil && f.t.Len() > 0 {
			p := f.t.Proc(0)
			_ = n.learnNames(n.ctx, up, &process{n: n, pid: PID(p.PID), leaf: p.ID}) // without them names are asked for
		}
	}()
	return f
}

// takeSnapshot makes the exchange.
func (n *node) takeSnapshot() (*table, error) {
	began := n.now()
	policy := n.policy()
	t, err := n.exchangeSnapshot(snapshot.Request{Files: policy.Prefetch()})
	if err != nil {
		return nil, err
	}
	keep := policy.Table()
	if k := t.Facts().Keep; k > 0 {
		keep = min(k, maxKeep)
	}
	// One that took longer to get than it may be kept would be of no use to whoever
	// reads on from it: it is good for as long as it took, at least.
	keep = max(keep, 2*n.now().Sub(began))
	return &table{Table: t, expires: began.Add(keep)}, nil
}

// exchangeSnapshot asks the node for a snapshot.
func (n *node) exchangeSnapshot(req snapshot.Request) (t *snapshot.Table, err error) {
	err = n.callAt(n.ctx, n.reader, snapshotName+n.aname, func(ctx context.Context, dir vfs.Dir) error {
		h, err := openRPC(ctx, dir, snapshot.SweepFile)
		if err != nil {
			return err
		}
		defer h.Close()
		t, err = snapshot.Fetch(ctx, h, req, snapshot.Limits{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	return t, nil
}

// A writeOpener is a file that must be told when it is opened for writing too.
// A 9P client's are; in-process files return a handle that takes writes anyway.
type writeOpener interface {
	OpenRW(ctx context.Context) (vfs.Handle, error)
}

// openRPC opens an rpc file.
func openRPC(ctx context.Context, dir vfs.Dir, name string) (snapshot.RPC, error) {
	file, err := dir.Walk(ctx, name)
	if err != nil {
		return nil, err
	}
	var h vfs.Handle
	switch f := file.(type) {
	case writeOpener:
		h, err = f.OpenRW(ctx)
	case vfs.File:
		h, err = f.Open(ctx)
	default:
		err = syscall.EISDIR
	}
	if err != nil {
		return nil, err
	}
	rpc, ok := h.(snapshot.RPC)
	if !ok {
		h.Close()
		return nil, syscall.EROFS
	}
	return rpc, nil
}

// sweep asks all nodes for a table at once and returns one for each, nil for
// those that did not deliver by the sweep's deadline.
func (c *Cluster) sweep(ctx context.Context, nodes []*node) []*table {
	return eachNode(ctx, c, nodes, func(ctx context.Context, n *node) *table {
		t, _ := n.fresh(ctx) // why not is in the node's health
		return t
	})
}

// eachNode calls f for all nodes at once, with the sweep's deadline, and returns
// what came of it in the order of the nodes.
func eachNode[T any](ctx context.Context, c *Cluster, nodes []*node, f func(context.Context, *node) T) []T {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeouts.Sweep)
	defer cancel()
	out := make([]T, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() { out[i] = f(ctx, n) })
	}
	wg.Wait()
	return out
}
