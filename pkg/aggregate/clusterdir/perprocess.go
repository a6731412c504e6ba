package clusterdir

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/cgroup"
	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remarks"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remote"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// sideTables are the tables beside cluster/ps, of one view.
type sideTables struct{ viewTables }

// perProcess is a table beside cluster/ps, for commands that are asked for its columns: a header,
// the lines of the processes that have any, by node and pid, and what is lacking. of makes the
// lines of one node's processes.
func (v sideTables) perProcess(ctx context.Context, header string, of func(context.Context, *proctable.Node, proctable.Roster) ([]byte, remarks.Lack)) []byte {
	table := []byte(header)
	type part struct {
		lines []byte
		r     proctable.Roster
		lack  remarks.Lack
	}
	nodes := v.Nodes()
	parts := proctable.Each(ctx, nodes, func(ctx context.Context, n *proctable.Node) (p part) {
		if p.r = n.Listing(ctx, v.Who); p.r.Table != nil {
			p.lines, p.lack = of(ctx, n, p.r)
		}
		return p
	})
	for _, p := range parts {
		table = append(table, p.lines...)
	}
	for i, p := range parts {
		table = remarks.Append(v.View, table, nodes[i], p.r, p.lack)
	}
	return table
}

// eachShown calls f for the rows of a roster whose file of that name exists for the viewer. An error
// of f, unless it is that the process has ended, is that the row is lacking.
func (v sideTables) eachShown(n *proctable.Node, r proctable.Roster, file string, f func(proctable.Row, gpid.GPID) error) (l remarks.Lack) {
	for row := range r.Rows {
		if !v.Sees(row.UID()) || v.Denies(strconv.Itoa(int(row.PID())), file) {
			continue
		}
		g := n.GPIDFor(v.Host, row.PID())
		if g == 0 {
			l.Unnum++
			continue
		}
		if err := f(row, g); notGone(err) != nil {
			l.Unread++
			l.Why = cmp.Or(l.Why, err)
		}
	}
	return l
}

// cgroupsTable is cluster/cgroups: of what each process is part, by its cgroup, as cgroup.Place has
// it; a line a process that is part of anything.
func (v sideTables) cgroupsTable(ctx context.Context) []byte {
	return v.perProcess(ctx, report.JobsHeader, func(ctx context.Context, n *proctable.Node, r proctable.Roster) (lines []byte, l remarks.Lack) {
		got, err := n.Cgroups(ctx)
		if err != nil {
			return nil, remarks.Lack{Unread: v.count(r), Why: err}
		}
		m := *r.Table.Clock.Map(v.Host)
		m.CgroupSlice = "" // a job counts from the root of its node only
		l = v.eachShown(n, r, "cgroup", func(row proctable.Row, g gpid.GPID) error {
			text, err := v.cgroupOf(ctx, n, row, got, &m)
			p := cgroup.Parse(text)
			if place := (report.Job{GPID: g, Job: p.Job, Step: p.Step, Unit: p.Unit, Container: p.Container, Pod: p.Pod}); place != (report.Job{GPID: g}) {
				lines = place.AppendText(lines)
			}
			return err
		})
		return lines, l
	})
}

// Of the policies of the scheduler these have nice values, see sched(7); and this is the priority of a
// process whose nice value is 19, which ps(1) subtracts from.
const (
	schedOther  = 0
	schedBatch  = 3
	leastNormal = 39
)

// detailsTable is cluster/details: more of each process's stat file than cluster/ps has.
func (v sideTables) detailsTable(ctx context.Context) []byte {
	return v.perProcess(ctx, report.DetailsHeader, func(ctx context.Context, n *proctable.Node, r proctable.Roster) (lines []byte, l remarks.Lack) {
		m := r.Table.Clock.Map(v.Host)
		l = v.eachShown(n, r, "stat", func(row proctable.Row, g gpid.GPID) error {
			text, err := v.statOf(ctx, n, row, m)
			if err != nil {
				return err
			}
			d, ok := procfile.ParseDetail(text)
			if !ok {
				return fmt.Errorf("its stat makes no sense: %w", syscall.EIO)
			}
			line := report.Detail{GPID: g, VSZ: d.VSize >> 10, Threads: d.Threads, Priority: leastNormal - d.Priority}
			if d.Policy == schedOther || d.Policy == schedBatch {
				line.Nice = &d.Nice
			}
			lines = line.AppendText(lines)
			return nil
		})
		return lines, l
	})
}

// statOf is the stat file of a row: as it is in the table, where the viewer may see the process, since
// nothing that is read here is masked to anybody; else as the node gives it to them.
func (v sideTables) statOf(ctx context.Context, n *proctable.Node, row proctable.Row, m *procfile.Map) ([]byte, error) {
	if at := row.Table.FileIndex("stat"); at >= 0 && n.Visibility(row, v.Who) != proctable.None {
		text, errno := row.Table.File(row.I, at)
		if errno != 0 {
			return nil, errno
		}
		return text, nil
	}
	proc := view.Of(n, row)
	proc.Map = m
	return remote.NewProcessDir(v.View, v.ID, proc, row.Attr(0)).Content(ctx, row, "stat")
}

// cgroupOf is the cgroup file of a row: as it came with those of all, if the process was
// there then and the viewer may have it, and else as the node gives it to them.
func (v sideTables) cgroupOf(ctx context.Context, n *proctable.Node, row proctable.Row, all *proctable.Table, m *procfile.Map) ([]byte, error) {
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
