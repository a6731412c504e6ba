package clusterdir

import (
	"context"
	"runtime"
	"strconv"
	"sync"

	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remarks"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sync/semaphore"
)

// psFile makes cluster/ps: every process of the view in one read, a line each, by node and
// pid, see report.Process, and what they lack, see remarks.go.
//
// To open it starts a sweep, and it is made while it is read, each node's part when its
// table has come, or its time is over (see proctable.Node.ListWait). So no more is in memory at once than the
// part of a node for each CPU; columns are as wide as most need.
//
// cluster/ps-of/USER is the same table of one user's processes alone, whose USER is what the
// server's user database calls them: who wants a user's rows needs no name to compare.
func (v viewTables) psFile(id uint64, only *uint32) vfs.Node {
	return v.t.Base.Stream(id, func(ctx context.Context) (vfs.Handle, error) { return v.openPS(ctx, only) })
}

// openPS opens the table of the processes of the view, or of one user alone.
func (v viewTables) openPS(ctx context.Context, only *uint32) (vfs.Handle, error) {
	h := &psHandle{v: v, only: only, nameWidth: report.NodeWidth, turn: semaphore.NewWeighted(1)}
	sweep := proctable.NewWaits(context.WithoutCancel(ctx))
	h.stop = sweep.End
	for _, n := range v.Nodes() {
		p := &psPart{n: n, came: make(chan struct{}), r: proctable.Roster{Err: context.Canceled}}
		h.all = append(h.all, p)
		h.nameWidth = max(h.nameWidth, len(n.Name))
		if !n.Begin() {
			close(p.came)
			continue
		}
		ctx := sweep.Of(n)
		go func() {
			defer n.Done()
			defer close(p.came)
			p.r = n.Listing(ctx, v.Who)
		}()
	}
	h.rewind()
	return h, ctx.Err()
}

// A psPart is what a node has to show.
type psPart struct {
	n    *proctable.Node
	came chan struct{} // closed when r is there
	r    proctable.Roster
	lack remarks.Lack // set when its lines are made
}

// psHandle is an open cluster/ps. It reads on quickly and goes back by beginning anew.
type psHandle struct {
	v         viewTables
	only      *uint32 // only this user's processes; nil is all of the view's
	all       []*psPart
	stop      func() // ends the sweep
	nameWidth int

	turn  *semaphore.Weighted // the lock on what follows
	start int64               // the offset of the first of parts
	parts [][]byte            // lines that were made and not passed yet
	next  int                 // index in all of the node whose lines are made next
	ended bool                // the remarks have been made, too
	pens  []*psPen
}

func (h *psHandle) rewind() {
	h.start, h.next, h.ended = 0, 0, false
	h.parts = append(h.parts[:0], report.AppendProcessHeader(nil, h.nameWidth))
}

// ReadAt implements vfs.Handle.
func (h *psHandle) ReadAt(ctx context.Context, p []byte, off int64) (n int, err error) {
	if err := h.turn.Acquire(ctx, 1); err != nil {
		return 0, err
	}
	defer h.turn.Release(1)
	if off < h.start {
		h.rewind()
	}
	for n < len(p) {
		switch {
		case len(h.parts) > 0 && off < h.start+int64(len(h.parts[0])):
			m := copy(p[n:], h.parts[0][off-h.start:])
			n, off = n+m, off+int64(m)
		case len(h.parts) > 0:
			h.start += int64(len(h.parts[0]))
			h.parts = h.parts[1:]
		case h.ended:
			return n, nil
		case h.next == len(h.all):
			h.ended = true
			h.parts = append(h.parts[:0], h.remarks())
		default:
			if err := h.addNodes(ctx); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// addNodes makes the lines of some nodes more, on all CPUs.
func (h *psHandle) addNodes(ctx context.Context) error {
	if h.pens == nil {
		for range runtime.GOMAXPROCS(0) {
			h.pens = append(h.pens, &psPen{v: h.v, only: h.only, nameWidth: h.nameWidth, users: make(map[uint32]string)})
		}
	}
	batch := h.all[h.next:min(len(h.all), h.next+len(h.pens))]
	for _, p := range batch {
		select {
		case <-p.came:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	h.parts = make([][]byte, len(batch))
	var all sync.WaitGroup
	for i, p := range batch {
		all.Go(func() { h.parts[i], p.lack = h.pens[i].nodeText(ctx, p.n, p.r) })
	}
	all.Wait()
	h.next += len(batch)
	return ctx.Err()
}

// remarks are the lines behind the rows.
func (h *psHandle) remarks() (b []byte) {
	for _, p := range h.all {
		b = remarks.Append(h.v.View, b, p.n, p.r, p.lack)
	}
	return b
}

// Close implements vfs.Handle.
func (h *psHandle) Close() error {
	h.stop()
	return nil
}

// psOfDir is cluster/ps-of. A user who is not in the view has no table, and neither has a
// name that the user database has not.
func (v viewTables) psOfDir(id uint64) vfs.Node {
	return v.t.Base.Dir(id, func(ctx context.Context, name string) (vfs.Node, error) {
		uid, err := v.ShownUser(ctx, name)
		if err != nil {
			return nil, err
		}
		return v.psFile(objectid.Child(id, strconv.FormatUint(uint64(uid), 10)), &uid), nil
	}, nil)
}
