package aggregate

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A roster is the processes that a node has at this moment and shows to
// somebody: the rows of a table that has them all, less those that have ended
// since it was made, and those that the node hides.
type roster struct {
	t    *table              // nil is that the rows are missing, for the reason err
	live map[gpid.PID]uint64 // leaf numbers of those that are there; nil is all of t
	age  time.Duration       // how old the rows are of a node that did not answer; 0 is that it did
	err  error
}

// roster lists the node's processes for who. Tables are kept, but which processes
// there are is not: a table that was begun before is checked against the node's own
// listing, and one that lacks a process is replaced. So a process shows in the
// first listing after its start, and not in the first after its end. A node that does not
// answer before ctx ends, or is known not to, has the rows of its last table or none, see
// stalled.
func (n *node) roster(ctx context.Context, who vfs.Identity) roster {
	if !n.cluster && n.overdue() { // beside a cluster there are no others to show
		return n.stalledFor(who, n.noAnswer())
	}
	began := n.now()
	t := n.table.Load()
	if t.keep(began) == 0 {
		var err error
		// It may be one that was under way already.
		if t, err = n.fresh(ctx); err != nil || n.cluster || !t.asked.Before(began) {
			return n.shown(ctx, t, err, who)
		}
	}
	// To whom the node hides processes it lists those that it shows.
	as := n.reader
	if n.hides(t, who) {
		as = who
	}
	live, err := n.listPIDs(ctx, as)
	if err != nil {
		return n.stalledFor(who, err)
	}
	for pid, leaf := range live {
		if i, ok := t.Find(int32(pid)); !ok || t.ID(i) != leaf {
			t, err = n.newer(ctx, began)
			return n.shown(ctx, t, err, who)
		}
	}
	return roster{t: t, live: live}
}

// sweptFor is the processes of a table that is good, made anew if need be.
func (n *node) sweptFor(ctx context.Context, who vfs.Identity) roster {
	t, err := n.fresh(ctx)
	return n.shown(ctx, t, err, who)
}

// shown is the processes of a table that the node shows to who; err is why there is none.
func (n *node) shown(ctx context.Context, t *table, err error, who vfs.Identity) roster {
	if err != nil {
		return n.stalledFor(who, err)
	}
	if !n.hides(t, who) {
		return roster{t: t}
	}
	live, err := n.listPIDs(ctx, who)
	if err != nil {
		return n.stalledFor(who, err)
	}
	return roster{t: t, live: live}
}

// stalledFor is stalled for who. To whom the node hides processes only its answer could say
// which.
func (n *node) stalledFor(who vfs.Identity, why error) roster {
	r := n.stalled(why)
	if r.t != nil && n.hides(r.t, who) {
		return roster{err: why}
	}
	return r
}

// noAnswer is the error of a listing that does not wait for a snapshot which has had its time.
func (n *node) noAnswer() error {
	return fmt.Errorf("node %s has not answered in time: %w", n.name, syscall.EHOSTDOWN)
}

// listPIDs asks the node which processes there are for who. An answer that is an error is
// shown in the node's row until its next snapshot.
func (n *node) listPIDs(ctx context.Context, who vfs.Identity) (map[gpid.PID]uint64, error) {
	r := remote{n: n, v: everything{who}}
	all, err := r.list(ctx)
	if err != nil {
		if !cachepolicy.Unanswered(err) && ctx.Err() == nil {
			n.swept(nil, fmt.Errorf("its list of processes: %w", err))
		}
		return nil, err
	}
	live := make(map[gpid.PID]uint64, len(all))
	for _, e := range all {
		if pid, ok := gpid.Parse(e.Name); ok && e.Type == vfs.TypeDir {
			live[gpid.PID(pid)] = e.ID
		}
	}
	return live, nil
}

// has tells whether row i of the table is a process that is there.
func (r roster) has(i int) bool {
	if r.live == nil {
		return true
	}
	return r.live[gpid.PID(r.t.PID(i))] == r.t.ID(i)
}

// rosters are those of all nodes of the view for a listing, in their order.
func (v *view) rosters(ctx context.Context) ([]*node, []roster) {
	nodes := v.nodes()
	return nodes, eachNode(ctx, nodes, func(ctx context.Context, n *node) roster {
		r := n.roster(ctx, v.who)
		n.listed(r)
		return r
	})
}
