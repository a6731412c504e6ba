package proctable

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Roster is the processes that a node has at this moment and shows to
// somebody: the rows of a table that has them all, less those that have ended
// since it was made, and those that the node hides.
type Roster struct {
	Table *Table              // nil is that the rows are missing, for the reason Err
	Live  map[gpid.PID]uint64 // leaf numbers of those that are there; nil is all of Table
	Age   time.Duration       // how old the rows are of a node that did not answer; 0 is that it did
	Err   error
}

// Has reports whether row i of the table is a process that is there.
func (r Roster) Has(i int) bool {
	return r.Live == nil || r.Live[gpid.PID(r.Table.PID(i))] == r.Table.ID(i)
}

// Rows calls yield with each process that is there.
func (r Roster) Rows(yield func(Row) bool) {
	if r.Table == nil {
		return
	}
	for i := range r.Table.Len() {
		if r.Has(i) && !yield(Row{r.Table, i}) {
			return
		}
	}
}

// Len is how many rows there are at most.
func (r Roster) Len() int {
	if r.Table == nil {
		return 0
	}
	return r.Table.Len()
}

// Roster lists the node's processes for who. Tables are cached, but which processes
// there are is not: a table that was begun before is checked against the node's own
// listing, and one that lacks a process is replaced. So a process shows in the
// first listing after its start, and not in the first after its end. A node that does not
// answer before ctx ends, or is known not to, has the rows of its last table or none, see
// stalled.
func (n *Node) Roster(ctx context.Context, who vfs.Identity) Roster {
	if n.overdue() {
		return n.stalled(n.Overdue(), who)
	}
	began := n.Now()
	if n.traits.Listing {
		t, err := n.Newer(ctx, began)
		return n.shown(ctx, t, err, who)
	}
	t := n.table.Load()
	if t.Left(began) == 0 {
		var err error
		// It may be one that was under way already.
		if t, err = n.Fresh(ctx); err != nil || !t.requested.Before(began) {
			return n.shown(ctx, t, err, who)
		}
	}
	// To whom the node hides processes it lists those that it shows.
	as := n.Reader
	if n.Hides(t, who) {
		as = who
	}
	live, err := n.ListPIDs(ctx, as)
	if err != nil {
		return n.stalled(err, who)
	}
	for pid, leaf := range live {
		if r, ok := t.Lookup(pid); !ok || r.ID() != leaf {
			t, err = n.Newer(ctx, began)
			return n.shown(ctx, t, err, who)
		}
	}
	return Roster{Table: t, Live: live}
}

// Listing is Roster for a listing, which is noted: it has shown those rows of the node, or has
// left them out.
func (n *Node) Listing(ctx context.Context, who vfs.Identity) Roster {
	r := n.Roster(ctx, who)
	if r.Table == nil || r.Age > 0 {
		n.missed.Add(1)
	}
	n.withdrawn.Store(r.Table == nil)
	return r
}

// FreshRoster is the processes of a table that is fresh, made anew if need be.
func (n *Node) FreshRoster(ctx context.Context, who vfs.Identity) Roster {
	t, err := n.Fresh(ctx)
	return n.shown(ctx, t, err, who)
}

// LatestRoster is the processes of the last table as it is, if it is fresh and hides nobody, and
// Roster otherwise.
func (n *Node) LatestRoster(ctx context.Context, who vfs.Identity) Roster {
	if t := n.table.Load(); t.Left(n.Now()) > 0 && !n.Hides(t, who) && !n.down() {
		return Roster{Table: t}
	}
	return n.Roster(ctx, who)
}

// shown is the processes of a table that the node shows to who; err is why there is none.
func (n *Node) shown(ctx context.Context, t *Table, err error, who vfs.Identity) Roster {
	if err != nil {
		return n.stalled(err, who)
	}
	if !n.Hides(t, who) {
		return Roster{Table: t}
	}
	live, err := n.ListPIDs(ctx, who)
	if err != nil {
		return n.stalled(err, who)
	}
	return Roster{Table: t, Live: live}
}

// stalled is what a listing shows who of a node that did not answer it for that reason: the
// rows of its last table, or none. Where the node hides processes only its answer could say
// which.
func (n *Node) stalled(why error, who vfs.Identity) Roster {
	now := n.Now()
	t := n.table.Load()
	if !cachepolicy.Unanswered(why) || !n.Showable(t, now) || n.Hides(t, who) {
		return Roster{Err: why}
	}
	n.Stale(now)
	return Roster{Table: t, Age: max(now.Sub(t.moment), 1)}
}

// ListPIDs asks the node which processes there are for who. An answer that is an error is
// shown in the node's row until its next snapshot.
func (n *Node) ListPIDs(ctx context.Context, who vfs.Identity) (live map[gpid.PID]uint64, err error) {
	var all []vfs.DirEntry
	err = n.Call(ctx, who, func(ctx context.Context, root vfs.Dir) error {
		all, err = n.ReadDir(ctx, root, n.MaxEntries())
		return err
	})
	if err != nil {
		if !cachepolicy.Unanswered(err) && ctx.Err() == nil {
			n.swept(nil, fmt.Errorf("its list of processes: %w", err))
		}
		return nil, err
	}
	live = make(map[gpid.PID]uint64, len(all))
	for _, e := range all {
		// Those of an upstream that is a front end are gpids.
		if pid, ok := gpid.Parse(e.Name); ok && e.Type == vfs.TypeDir {
			live[gpid.PID(pid)] = e.ID
		}
	}
	return live, nil
}

// maxOthers is how many entries a root has beside its processes, at most.
const maxOthers = 4096

// MaxEntries bounds the entries of the node's root directory.
func (n *Node) MaxEntries() int {
	if most := n.traits.MaxProcs; most > 0 {
		return min(MaxEntries, most+maxOthers)
	}
	return MaxEntries
}

// MaxEntries bounds the entries of one directory that a leaf can make the front
// end hold: more than a kernel has pids.
const MaxEntries = gpid.MaxPID + maxOthers

// What is shown of a node that does not answer.
//
// Its rows stay listed, as stale, for as long as the policy says (StaleTable): the files
// that a sweep brings have their last values, and everything else of its processes is
// EHOSTDOWN. After that a listing leaves its rows out and names the node as missing; the
// rows are withdrawn, whether or not somebody lists, and everything of its processes is
// ESRCH, which programs take for a process that has ended, as they do with one that a listing
// lacks. What is no process's, such as nodes/NODE/meminfo, is EHOSTDOWN throughout.
// docs/namespace.md has the table.

// Current returns the table that readers are served from: the one that is fresh, keep being
// for how much longer, or the last one with keep 0 while the node does not answer and the
// policy lets that be shown. It is nil where there is none.
func (n *Node) Current() (t *Table, keep time.Duration) {
	t = n.table.Load()
	now := n.Now()
	if keep = t.Left(now); keep > 0 {
		return t, keep
	}
	if t == nil || !n.Showable(t, now) || !n.unanswering() {
		return nil, 0
	}
	n.Stale(now)
	return t, 0
}

// Showable reports whether a table is young enough to be shown while the node does not
// answer.
func (n *Node) Showable(t *Table, now time.Time) bool {
	return t != nil && now.Sub(t.moment) < n.Policy().StaleTable()
}

// Stale notes that an old value was shown, since the node did not answer.
func (n *Node) Stale(now time.Time) { n.stale.Store(now.UnixNano()) }

// StaleSince is how long ago that was, if the node has not answered since; 0 is never.
func (n *Node) StaleSince(now time.Time) time.Duration {
	at := n.stale.Load()
	if at == 0 || at <= n.Health().Last.UnixNano() {
		return 0
	}
	return now.Sub(time.Unix(0, at))
}

func (n *Node) down() bool { return n.Health().State != upstream.Up }

// unanswering reports whether to ask the node would only be to wait: it is not up, its
// snapshot is overdue, or the last one did not come.
func (n *Node) unanswering() bool {
	if n.down() {
		return true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.overdueLocked() || cachepolicy.Unanswered(n.sweepErr)
}

// Miss counts an answer that had to do without the node, or with old values of it.
func (n *Node) Miss() { n.missed.Add(1) }

// Missed is how many answers had to do without the node, or with old values of it: listings
// without its rows or with old ones, sums without it or with old values, and files of its
// processes that could not be had.
func (n *Node) Missed() uint64 { return n.missed.Load() }

// Told is the error of a request for a process of the merged tree as its requester gets it:
// of one whose rows have been withdrawn there is nothing any more.
func (n *Node) Told(err error) error {
	err = n.Short(err)
	if !cachepolicy.Unanswered(err) {
		return err
	}
	n.Miss()
	if n.traits.Listing { // it says itself what there is no more
		return err
	}
	// Rows whose time is over count as withdrawn, even if nobody has listed since: who
	// listed them before is still reading them.
	if t := n.table.Load(); n.Showable(t, n.Now()) || t == nil && !n.withdrawn.Load() {
		return err
	}
	return fmt.Errorf("node %s does not answer, and its processes are not listed: %w", n.Name, syscall.ESRCH)
}

// Reason is an error of the node as a table of processes has it: what is wrong with the node,
// if it is not up.
func (n *Node) Reason(err error) string {
	if h := n.Health(); h.State != upstream.Up {
		if h.Err == nil {
			return string(h.State)
		}
		return string(h.State) + ": " + h.Err.Error()
	}
	if err == nil {
		return "it has not answered"
	}
	return err.Error()
}
