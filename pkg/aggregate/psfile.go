package aggregate

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// psFile is cluster/ps: every process of the view in one read, a line each, by node and
// pid.
//
//	NODE     the node's name
//	PID      as its node's kernel knows it
//	GPID     in the merged tree
//	PPID     the parent's gpid
//	USER     the owner's name, or number
//	S        state, as in the third field of stat in proc(5)
//	CPU      user and system time in seconds
//	RSS      resident memory in KiB
//	START    when it began, UTC, as RFC 3339 has it
//	COMMAND  its arguments, or its name in brackets where it has none
//
// It is made while it is read, from the tables that there are when it is opened, so that
// no more is in memory at once than the part of a node for each CPU; columns are as wide
// as most need.
type psFile struct {
	made
	v  *view
	id uint64
}

// ID implements vfs.Node.
func (f *psFile) ID() uint64 { return f.id }

// Type implements vfs.Node.
func (f *psFile) Type() vfs.Type { return vfs.TypeFile }

// Attr implements vfs.Node.
func (f *psFile) Attr(context.Context) (vfs.Attr, error) {
	a := f.attr(f.id, vfs.TypeFile)
	a.Keep, a.KeepName = 0, a.Keep
	return a, nil
}

// Open implements vfs.File. It sweeps the nodes of the view.
func (f *psFile) Open(ctx context.Context) (vfs.Handle, error) {
	v := f.v
	h := &psHandle{v: v, nodes: v.nodes(), turn: make(chan struct{}, 1)}
	h.rosters = eachNode(ctx, v.c, h.nodes, func(ctx context.Context, n *node) roster { return n.roster(ctx, v.who) })
	for _, n := range h.nodes {
		h.nameWidth = max(h.nameWidth, len(n.name), len("NODE"))
	}
	h.rewind()
	h.turn <- struct{}{}
	return h, nil
}

// psHandle is an open cluster/ps. It reads on quickly and goes back by beginning anew.
type psHandle struct {
	v         *view
	nodes     []*node
	rosters   []roster
	nameWidth int

	turn  chan struct{} // holds a token: the lock on what follows
	start int64         // the offset of text
	text  []byte        // lines that were made and not passed yet
	node  int           // whose lines come next
	pens  []*psPen
}

func (h *psHandle) rewind() {
	h.start, h.node = 0, 0
	h.text = fmt.Appendf(h.text[:0], "%-*s %7s %10s %10s %-8s S %10s %10s %-20s %s\n", h.nameWidth, "NODE", "PID", "GPID", "PPID", "USER", "CPU", "RSS", "START", "COMMAND")
}

// ReadAt implements vfs.Handle.
func (h *psHandle) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	select {
	case <-h.turn:
		defer func() { h.turn <- struct{}{} }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if off < h.start {
		h.rewind()
	}
	for h.start+int64(len(h.text)) < off+int64(len(p)) && h.node < len(h.nodes) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if passed := min(off-h.start, int64(len(h.text))); passed > 0 {
			h.text = h.text[:copy(h.text, h.text[passed:])]
			h.start += passed
		}
		h.addNodes(ctx)
	}
	if off >= h.start+int64(len(h.text)) {
		return 0, nil
	}
	return copy(p, h.text[off-h.start:]), nil
}

// addNodes makes the lines of some nodes more, on all CPUs.
func (h *psHandle) addNodes(ctx context.Context) {
	if h.pens == nil {
		for range runtime.GOMAXPROCS(0) {
			h.pens = append(h.pens, &psPen{v: h.v, nameWidth: h.nameWidth, users: make(map[uint32]string)})
		}
	}
	next := h.nodes[h.node:min(len(h.nodes), h.node+len(h.pens))]
	var all sync.WaitGroup
	for i, n := range next {
		all.Go(func() { h.pens[i].writeNode(ctx, n, h.rosters[h.node+i]) })
	}
	all.Wait()
	for _, pen := range h.pens[:len(next)] {
		h.text = append(h.text, pen.text...)
	}
	h.node += len(next)
}

// Close implements vfs.Handle.
func (h *psHandle) Close() error { return nil }
