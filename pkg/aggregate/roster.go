package aggregate

import (
	"context"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A roster is the processes that a node has at this moment and shows to
// somebody: the rows of a table that has them all, less those that have ended
// since it was made, and those that the node hides.
type roster struct {
	t    *table         // nil is none
	live map[PID]uint64 // leaf numbers of those that are there; nil is all of t
}

// roster lists the node's processes for who. Tables are kept, but which processes
// there are is not: a table that is still good is checked against the node's own
// listing, and one that lacks a process is replaced; a node that is overdue shows none. So a process shows in the
// first listing after its start, and not in the first after its end.
func (n *node) roster(ctx context.Context, who vfs.Identity) roster {
	if !n.cluster && n.overdue() { // beside a cluster there are no others to show
		return roster{}
	}
	began := n.now()
	t := n.table.Load()
	if t.keep(began) == 0 {
		return n.sweptFor(ctx, who)
	}
	// To whom the node hides processes it lists those that it shows.
	as := n.reader
	if n.hides(t, who) {
		as = who
	}
	live, err := n.listPIDs(ctx, as)
	if err != nil {
		return roster{}
	}
	for pid, leaf := range live {
		if i, ok := t.Find(int32(pid)); !ok || t.ID(i) != leaf {
			t, _ = n.newer(ctx, began)
			return n.shown(ctx, t, who)
		}
	}
	return roster{t: t, live: live}
}

// sweptFor is the processes of a table that is good, made anew if need be.
func (n *node) sweptFor(ctx context.Context, who vfs.Identity) roster {
	t, _ := n.fresh(ctx) // why not is in the node's health
	return n.shown(ctx, t, who)
}

// shown is the processes of a table that the node shows to who.
func (n *node) shown(ctx context.Context, t *table, who vfs.Identity) roster {
	if t == nil || !n.hides(t, who) {
		return roster{t: t}
	}
	live, err := n.listPIDs(ctx, who)
	if err != nil {
		return roster{}
	}
	return roster{t: t, live: live}
}

// listPIDs asks the node which processes there are for who.
func (n *node) listPIDs(ctx context.Context, who vfs.Identity) (map[PID]uint64, error) {
	r := remote{n: n, v: everything{who}}
	all, err := r.list(ctx)
	if err != nil {
		return nil, err
	}
	live := make(map[PID]uint64, len(all))
	for _, e := range all {
		if pid, ok := parsePID(e.Name, maxGPID); ok && e.Type == vfs.TypeDir {
			live[PID(pid)] = e.ID
		}
	}
	return live, nil
}

// has tells whether row i of the table is a process that is there.
func (r roster) has(i int) bool {
	if r.live == nil {
		return true
	}
	return r.live[PID(r.t.PID(i))] == r.t.ID(i)
}
