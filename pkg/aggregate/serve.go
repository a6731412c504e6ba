package aggregate

import (
	"cmp"
	"context"
	"slices"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/rewrite"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// newSnapshotDir makes the tree that a cluster serves under the attach name
// "snapshot": its merged processes as one node's, with gpids for pids and the
// files rewritten, for a front end on the same machine (aggrfs exec, aggrfs
// mount) that shows them as they are.
func newSnapshotDir(v *view) vfs.Node {
	id := childID(v.id, snapshotName)
	return &snapshotRoot{snapshot.NewDir(v.c.made.attr(id, vfs.TypeDir), v.c.cfg.Log, v.snapshot), v}
}

// A snapshotRoot is the root of that tree.
type snapshotRoot struct {
	vfs.Dir
	v *view
}

// Weight implements vfs.Weighty, as root does.
func (r *snapshotRoot) Weight() int64 { return r.v.weight() }

// Vacant implements vfs.Vacant, as root does.
func (r *snapshotRoot) Vacant() bool { return len(r.v.nodes()) == 0 }

// snapshot makes one answer, with the files in the form that the view's identity
// may have.
func (v *view) snapshot(ctx context.Context, req snapshot.Request) ([]byte, error) {
	nodes, rosters := v.rosters(ctx)
	var b snapshot.Builder
	b.Reset(nil, v.facts(rosters), req.Files)
	b.Name(v.names(rosters))
	rows := v.rows(nodes, rosters)
	if !v.c.numbers.Rising() {
		slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.gpid, b.gpid) })
	}
	var n *node
	var m *rewrite.Map
	for _, r := range rows {
		if r.n != n {
			n, m = r.n, v.c.mapping(r.n, r.t.Facts(), v.host)
		}
		v.addProcess(&b, r, m, req.Files)
	}
	for _, r := range rosters {
		if r.t != nil {
			lacks := r.t.Facts().Lacks
			b.Skip(r.t.Skipped(), lacks)
			b.Lack(lacks)
		}
	}
	t, err := b.Table()
	if err != nil {
		return nil, err
	}
	req.Remember = false
	return t.Answer(req, 0), nil
}

// A row is one process of the view in a node's table.
type row struct {
	gpid gpid.GPID
	n    *node
	t    *table
	i    int
}

// rows are the processes of the view, node by node.
func (v *view) rows(nodes []*node, rosters []roster) []row {
	total := 0
	for _, r := range rosters {
		if r.t != nil {
			total += r.t.Len()
		}
	}
	rows := make([]row, 0, total)
	for k, n := range nodes {
		r := rosters[k]
		if r.t == nil {
			continue
		}
		for i := range r.t.Len() {
			p := r.t.Proc(i)
			if !v.sees(p.UID) || !r.has(i) {
				continue
			}
			if g := n.gpid(gpid.PID(p.PID)); g != 0 {
				rows = append(rows, row{g, n, r.t, i})
			}
		}
	}
	return rows
}

// addProcess adds one process.
func (v *view) addProcess(b *snapshot.Builder, r row, m *rewrite.Map, files []string) {
	p := r.t.Proc(r.i)
	proc := newProcess(r.n, gpid.PID(p.PID), p.ID, p.UID)
	proc.m = m
	dir := newProcessDir(v, 0, proc, vfs.Attr{})
	p.PID, p.ID = int32(r.gpid), processID(v.id, r.n.index, p.ID)
	b.Begin(p)
	for _, name := range files {
		raw, err := dir.rowFile(r.t, r.i, name)
		if err != nil {
			b.Fail(vfs.Errno(err))
		} else {
			b.Add(raw)
		}
	}
}

// facts are those of the reader's machine, as which the merged tree appears.
// The answer is good for as long as the shortest-lived table in it.
func (v *view) facts(rosters []roster) snapshot.Facts {
	c := v.c
	f := snapshot.Facts{
		BootID: v.host.bootID, BootTime: v.host.boot, Hz: int(v.host.hz), PageSize: int(v.host.pageSize),
		PIDMax: gpid.Max, Version: c.cfg.Version, Keep: c.store.Policy().Table(),
	}
	now := c.cfg.Now()
	for _, r := range rosters {
		if t := r.t; t != nil {
			f.Keep = min(f.Keep, t.keep(now))
		}
	}
	f.Keep = max(f.Keep, 1) // 0 would leave it to the reader
	return f
}
