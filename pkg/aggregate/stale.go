package aggregate

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// What is shown of a node that does not answer.
//
// Its rows stay listed, as stale, for as long as the policy says (StaleTable): the files
// that a sweep brings have their last values, and everything else of its processes is
// EHOSTDOWN. After that a listing leaves its rows out and names the node as missing; the
// rows are withdrawn, whether or not somebody lists, and everything of its processes is ESRCH, which programs take for a
// process that has ended, as they do with one that a listing lacks. What is no process's,
// such as nodes/NODE/meminfo, is EHOSTDOWN throughout. docs/namespace.md has the table.

// expired is the table as it is after the end of the connection that it came by: it can
// still be shown as stale, but no difference is built on it, since the next connection may
// lead to another leaf, or another boot of the machine.
func (t *table) expired() *table {
	if t == nil || t.orphan {
		return t
	}
	return &table{Table: t.Table, moment: t.moment, took: t.took, orphan: true}
}

// current returns the table that readers are served from: the one that is good, keep being
// for how much longer, or the last one with keep 0 while the node does not answer and the
// policy lets that be shown. It is nil where there is none.
func (n *node) current() (t *table, keep time.Duration) {
	t = n.table.Load()
	now := n.now()
	if keep = t.keep(now); keep > 0 {
		return t, keep
	}
	if t == nil || !n.showable(t, now) || !n.unanswering() {
		return nil, 0
	}
	n.stale.Store(now.UnixNano())
	return t, 0
}

// showable reports whether a table is young enough to be shown while the node does not
// answer.
func (n *node) showable(t *table, now time.Time) bool {
	return t != nil && now.Sub(t.moment) < n.policy().StaleTable()
}

// unanswering reports whether to ask the node would only be to wait: it is not up, its
// snapshot is overdue, or the last one did not come.
func (n *node) unanswering() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.health.state != stateUp || n.overdueLocked() || cachepolicy.Unanswered(n.health.sweep)
}

// stalled is what a listing shows of a node that did not answer it for that reason: the
// rows of its last table, or none.
func (n *node) stalled(why error) roster {
	now := n.now()
	t := n.table.Load()
	if !cachepolicy.Unanswered(why) || !n.showable(t, now) {
		return roster{err: why}
	}
	n.stale.Store(now.UnixNano())
	return roster{t: t, age: max(now.Sub(t.moment), 1)}
}

// listed notes that a listing has shown those rows of the node, or has left them out.
func (n *node) listed(r roster) {
	if r.t == nil || r.age > 0 {
		n.missed.Add(1)
	}
	n.withdrawn.Store(r.t == nil)
}

// Missed is how many answers had to do without a node, or with old values of it, since the
// cluster began: listings without its rows or with old ones, sums without it or with old
// values, and files of its processes that could not be had. Nodes that no answer lacked are
// left out.
func (c *Cluster) Missed() map[gpid.NodeName]uint64 { return missed(c.nodes...) }

// Missed is as that of a cluster; the only node is the daemon.
func (m *Mirror) Missed() map[gpid.NodeName]uint64 { return missed(m.n) }

func missed(nodes ...*node) map[gpid.NodeName]uint64 {
	all := make(map[gpid.NodeName]uint64)
	for _, n := range nodes {
		if count := n.missed.Load(); count > 0 {
			all[n.name] = count
		}
	}
	return all
}

// unanswered makes an error of an exchange that ended for want of an answer one that says
// so: EHOSTDOWN. up is the connection that was there when the exchange began. A requester
// who has gone away gets the error of that.
func (n *node) unanswered(ctx context.Context, up Upstream, err error) error {
	if err == nil || errors.Is(err, context.Canceled) && ctx.Err() != context.DeadlineExceeded {
		return err
	}
	ended := false
	if up != nil {
		select {
		case <-up.Done():
			ended = true
		default:
		}
	}
	switch {
	case errors.Is(err, syscall.EHOSTDOWN):
		return err
	case ctx.Err() == context.DeadlineExceeded:
		return fmt.Errorf("%w (%w)", n.noAnswer(), context.DeadlineExceeded)
	case ended, cachepolicy.Unanswered(err):
		return fmt.Errorf("node %s: the connection has ended: %w (%w)", n.name, syscall.EHOSTDOWN, err)
	}
	return err
}

// told is the error of a request on r as its requester gets it.
func (r *remote) told(err error) error {
	if r.proc == nil || r.proc.m == nil { // of the node as it is, not of the merged tree
		return r.n.shortage(err)
	}
	return r.n.told(err)
}

// shortage makes an error that the node is short of something (files, memory) one that the
// node does not answer: to a reader it would be their own shortage.
func (n *node) shortage(err error) error {
	switch vfs.Errno(err) {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM:
		return fmt.Errorf("node %s: %w (%w)", n.name, syscall.EHOSTDOWN, err)
	}
	return err
}

// told is the error of a request for a process of the merged tree as its requester gets it:
// of one whose rows have been withdrawn there is nothing any more.
func (n *node) told(err error) error {
	err = n.shortage(err)
	if !cachepolicy.Unanswered(err) {
		return err
	}
	n.missed.Add(1)
	// Rows whose time is over count as withdrawn, even if nobody has listed since: who
	// listed them before is still reading them.
	if t := n.table.Load(); n.showable(t, n.now()) || t == nil && !n.withdrawn.Load() {
		return err
	}
	return fmt.Errorf("node %s does not answer, and its processes are not listed: %w", n.name, syscall.ESRCH)
}
