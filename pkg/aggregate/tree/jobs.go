package tree

import (
	"cmp"
	"context"
	"strconv"

	"github.com/aggrfs/aggrfs/internal/cgroup"
	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remote"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// jobsTable is cluster/jobs: which process is part of which job of a batch system, by its
// cgroup; a line a process that is, its gpid and the job as cgroup.Place has it.
func (v viewTree) jobsTable(ctx context.Context) []byte {
	table := []byte(report.JobsHeader)
	type part struct {
		lines []byte
		r     proctable.Roster
		lack  lack
	}
	nodes := v.Nodes()
	parts := proctable.Each(ctx, nodes, func(ctx context.Context, n *proctable.Node) (p part) {
		p.r = n.Listing(ctx, v.Who)
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
func (v viewTree) jobsOf(ctx context.Context, n *proctable.Node, r proctable.Roster) (lines []byte, l lack) {
	if r.Table == nil {
		return nil, l
	}
	got, err := n.Cgroups(ctx)
	if err != nil {
		return nil, lack{unread: v.count(r), why: err}
	}
	m := *r.Table.Clock.Map(v.Host)
	m.CgroupSlice = "" // a job counts from the root of its node only
	for row := range r.Rows {
		if !v.Sees(row.UID()) || v.Denies(strconv.Itoa(int(row.PID())), "cgroup") {
			continue
		}
		g := n.GPID(row.PID())
		if g == 0 {
			l.unnum++
			continue
		}
		text, err := v.cgroupOf(ctx, n, row, got, &m)
		if notGone(err) != nil {
			l.unread++
			l.why = cmp.Or(l.why, err)
		}
		if p := cgroup.Parse(text); p.Job != "" {
			lines = report.Job{GPID: g, Job: p.Job}.AppendText(lines)
		}
	}
	return lines, l
}

// cgroupOf is the cgroup file of a row: as it came with those of all, if the process was
// there then and the viewer may have it, and else as the node gives it to them.
func (v viewTree) cgroupOf(ctx context.Context, n *proctable.Node, row proctable.Row, all *proctable.Table, m *procfile.Map) ([]byte, error) {
	own, ok := all.Lookup(row.PID())
	if ok && own.ID() == row.ID() && n.Visibility(row, v.Who) != proctable.None { // it is the same for all
		text, errno := all.File(own.I, 0)
		if errno != 0 {
			return nil, errno
		}
		return text, nil
	}
	proc := view.Of(n, row)
	proc.Map = m
	return vfs.ReadFile(ctx, remote.NewProcessDir(v.View, v.ID, proc, row.Attr(0)), remote.MaxContent, "cgroup")
}
