package aggregate

import (
	"context"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A roster is the processes that a node has at this moment: the rows of a table
// that has them all, less those that have ended since it was made.
type roster struct {
	t    *table         // nil is none
	live map[PID]uint64 // leaf numbers of those that are alive; nil is all of t
}

// roster lists the node's processes. Tables are kept, but which processes there
// are is not: a table that is still good is checked against the node's own
// listing, and one that lacks a process is replaced. So a process shows in the
// first listing after its start, and not in the first after its end.
func (n *node) roster(ctx context.Context) roster {
	began := n.now()
	t := n.table.Load()
	if t.keep(began) == 0 {
		t, _ = n.fresh(ctx) // why not is in the node's health
		return roster{t: t}
	}
	live, err := n.listPIDs(ctx)
	if err != nil {
		return roster{}
	}
	for pid, leaf := range live {
		if i, ok := t.Find(int32(pid)); !ok || t.Proc(i).ID != leaf {
			t, _ = n.newer(ctx, began)
			return roster{t: t}
		}
	}
	return roster{t: t, live: live}
}

// listPIDs asks the node which processes there are.
func (n *node) listPIDs(ctx context.Context) (map[PID]uint64, error) {
	r := remote{n: n, who: n.reader}
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

// has tells whether row i of the table is a process that is alive.
func (r roster) has(i int) bool {
	if r.live == nil {
		return true
	}
	p := r.t.Proc(i)
	return r.live[PID(p.PID)] == p.ID
}
