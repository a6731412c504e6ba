package proctable

import (
	"fmt"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
)

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
