package tree

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remote"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// newSnapshotDir makes the tree that a cluster serves under the attach name
// "snapshot": its merged processes as one node's, with gpids for pids and the
// files rewritten, for a front end on the same machine (aggrfs exec, aggrfs
// mount) that shows them as they are.
func newSnapshotDir(v viewTree) vfs.Node {
	id := objectid.Child(v.ID, upstream.SnapshotTree)
	return &snapshotRoot{snapshot.NewDir(v.t.base.Attr(id, vfs.TypeDir), v.t.Log, v.snapshot), v}
}

// A snapshotRoot is the root of that tree.
type snapshotRoot struct {
	vfs.Dir
	v viewTree
}

// Weight implements vfs.Weighty, as root does.
func (r *snapshotRoot) Weight() int64 { return r.v.Weight() }

// Vacant implements vfs.Vacant, as root does.
func (r *snapshotRoot) Vacant() bool { return len(r.v.Nodes()) == 0 }

// snapshot makes one answer, with the files in the form that the view's identity
// may have.
func (v viewTree) snapshot(ctx context.Context, req snapshot.Request) ([]byte, error) {
	nodes, rosters := v.listing(ctx)
	var b snapshot.Builder
	b.Reset(nil, v.facts(rosters), req.Files)
	b.Name(v.names(rosters))
	rows := v.rows(nodes, rosters)
	if !v.t.Numbers.Rising() {
		rows = slices.Values(slices.SortedFunc(rows, func(a, b row) int { return cmp.Compare(a.gpid, b.gpid) }))
	}
	var n *proctable.Node
	var m *procfile.Map
	for r := range rows {
		if r.n != n {
			n, m = r.n, r.Table.Clock.Map(v.Host)
		}
		v.addProcess(&b, r, m, req.Files)
	}
	for _, r := range rosters {
		if r.Table != nil {
			lacks := r.Table.Facts().Lacks
			b.Skip(r.Table.Skipped(), lacks)
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
	n    *proctable.Node
	proctable.Row
}

// listing are the nodes of the view, and what a listing has of each.
func (v viewTree) listing(ctx context.Context) ([]*proctable.Node, []proctable.Roster) {
	nodes := v.Nodes()
	return nodes, proctable.Each(ctx, nodes, func(ctx context.Context, n *proctable.Node) proctable.Roster {
		return n.Listing(ctx, v.Who)
	})
}

// rows are the processes of the view, node by node.
func (v viewTree) rows(nodes []*proctable.Node, rosters []proctable.Roster) iter.Seq[row] {
	return func(yield func(row) bool) {
		for k, n := range nodes {
			for r := range rosters[k].Rows {
				if !v.Sees(r.UID()) {
					continue // what a requester does not see is not numbered for them
				}
				if g := n.GPID(r.PID()); g != 0 && !yield(row{g, n, r}) {
					return
				}
			}
		}
	}
}

// addProcess adds one process.
func (v viewTree) addProcess(b *snapshot.Builder, r row, m *procfile.Map, files []string) {
	p, proc := r.Table.Proc(r.I), view.Of(r.n, r.Row)
	proc.Map = m
	dir, visibility := remote.NewProcessDir(v.View, 0, proc, vfs.Attr{}), r.n.Visibility(r.Row, v.Who)
	p.PID, p.ID = int32(r.gpid), objectid.Process(v.ID, r.n.Index, p.ID)
	b.Begin(p)
	for _, name := range files {
		raw, err := dir.RowContent(r.Row, visibility, name)
		if err != nil {
			b.Fail(vfs.Errno(err))
		} else {
			b.Add(raw)
		}
	}
}

// facts are those of the reader's machine, as which the merged tree appears.
// The answer is good for as long as the shortest-lived table in it.
func (v viewTree) facts(rosters []proctable.Roster) snapshot.Facts {
	f := snapshot.Facts{
		BootID: v.Host.BootID, BootTime: v.Host.Boot, Hz: int(v.Host.Hz), PageSize: int(v.Host.PageSize),
		PIDMax: gpid.Max, Version: v.t.Version, Keep: v.t.Store.Policy().Table(),
	}
	now := v.t.Now()
	for _, r := range rosters {
		if r.Table != nil {
			f.Keep = min(f.Keep, r.Table.Left(now))
		}
	}
	f.Keep = max(f.Keep, 1) // 0 would leave it to the reader
	return f
}

// names are those that all processes of the view have, if that is known and the same
// for all of its nodes; what the view denies is not among them.
func (v viewTree) names(rosters []proctable.Roster) snapshot.Names {
	var all snapshot.Names
	for _, r := range rosters {
		if r.Table == nil {
			continue
		}
		names := r.Table.Table.Names()
		if !names.Known() || all.Known() && names != all {
			return snapshot.Names{}
		}
		all = names
	}
	process, thread := all.Lists()
	return snapshot.NewNames(v.shownNames(process, "0"), v.shownNames(thread, "0", "task", "0"))
}

// shownNames are those of list that the view has in such a directory.
func (v viewTree) shownNames(list []snapshot.Name, dir ...string) (shown []snapshot.Name) {
	for _, n := range list {
		path := append(slices.Clip(dir), n.Name)
		if !v.Denies(path...) && !(v.Limited() && (view.OfNetwork(path) || view.CountsOthers(path))) {
			shown = append(shown, n)
		}
	}
	return shown
}
