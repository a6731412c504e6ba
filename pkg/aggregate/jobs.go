package aggregate

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aggrfs/aggrfs/internal/cgroup"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/rewrite"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// jobsTable is cluster/jobs: which process is part of which job of a batch system, by its
// cgroup; a line a process that is, its gpid and the job as cgroup.Place has it.
func (v *view) jobsTable(ctx context.Context) []byte {
	table := []byte("GPID JOB\n")
	type part struct {
		lines []byte
		r     roster
		lack  lack
	}
	nodes := v.nodes()
	parts := eachNode(ctx, nodes, func(ctx context.Context, n *node) (p part) {
		p.r = n.roster(ctx, v.who)
		n.listed(p.r)
		p.lines, p.lack = v.jobsOf(ctx, n, p.r)
		return p
	})
	for _, p := range parts {
		table = append(table, p.lines...)
	}
	for i, p := range parts {
		table = v.appendRemarks(table, nodes[i], p.r, p.lack)
	}
	return table
}

// jobsOf are the lines of one node's processes.
func (v *view) jobsOf(ctx context.Context, n *node, r roster) (lines []byte, l lack) {
	if r.t == nil {
		return nil, l
	}
	got, err := n.cgroups.get(ctx, n)
	if err != nil {
		return nil, lack{unread: v.count(r), why: err}
	}
	m := *v.c.mapping(n, r.t.Facts(), v.host)
	m.CgroupSlice = "" // a job counts from the root of its node only
	for i := range r.t.Len() {
		if !r.has(i) || !v.sees(r.t.UID(i)) || v.denies(strconv.Itoa(int(r.t.PID(i))), "cgroup") {
			continue
		}
		g := n.gpid(gpid.PID(r.t.PID(i)))
		if g == 0 {
			l.unnum++
			continue
		}
		text, err := v.cgroupOf(ctx, n, r, i, got, &m)
		if notGone(err) != nil {
			l.unread++
			l.why = cmp.Or(l.why, err)
		}
		if p := cgroup.Parse(text); p.Job != "" {
			lines = fmt.Appendf(lines, "%d %s\n", g, p.Job)
		}
	}
	return lines, l
}

// cgroupOf is the cgroup file of row i: as it came with those of all, if the process was
// there then and the viewer may have it, and else as the node gives it to them.
func (v *view) cgroupOf(ctx context.Context, n *node, r roster, i int, got *snapshot.Table, m *rewrite.Map) ([]byte, error) {
	k, ok := got.Find(r.t.PID(i))
	if ok && got.ID(k) == r.t.ID(i) && (n.reads(v.who) || n.form(r.t, i, v.who) != unknown) { // it is the same for all
		text, errno := got.File(k, 0)
		if errno != 0 {
			return nil, errno
		}
		return text, nil
	}
	p := r.t.Proc(i)
	proc := newProcess(n, gpid.PID(p.PID), p.ID, p.UID)
	proc.m = m
	return vfs.ReadFile(ctx, newProcessDir(v, v.id, proc, rowAttr(r.t, i, 0)), maxRewrite, "cgroup")
}

// cgroups are those of all processes of a node, as one exchange brought them. They are
// held for as long as the policy says.
type cgroups struct {
	turn chan struct{} // holds a token, which who asks the node has
	held atomic.Pointer[heldCgroups]
}

type heldCgroups struct {
	t     *snapshot.Table
	up    Upstream // the connection that they came by
	until time.Time
}

func newCgroups() *cgroups {
	c := &cgroups{turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c
}

// get asks the node n, whose they are, unless they are held.
func (c *cgroups) get(ctx context.Context, n *node) (*snapshot.Table, error) {
	select {
	case <-c.turn:
		defer func() { c.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	asked, policy, up := n.now(), n.policy(), n.upstream()
	if h := c.held.Load(); h != nil && h.up == up && asked.Before(h.until) {
		return h.t, nil
	}
	t, err := n.exchangeSnapshot("cgroup")
	if err != nil {
		return nil, err
	}
	if cache := time.Duration(policy.Rule(string(n.name), "1/cgroup").Cache); cache > 0 {
		c.held.Store(&heldCgroups{t, up, asked.Add(min(cache, aheadMost))})
		if n.policy() != policy { // which is asked anew
			c.drop()
		}
	}
	return t, nil
}

// drop lets go what is held.
func (c *cgroups) drop() { c.held.Store(nil) }

// tidy does so with what is held no longer.
func (c *cgroups) tidy(now time.Time) {
	if h := c.held.Load(); h != nil && !now.Before(h.until) {
		c.held.CompareAndSwap(h, nil)
	}
}
