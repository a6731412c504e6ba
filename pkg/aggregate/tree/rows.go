package tree

import (
	"context"
	"iter"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
)

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
				if g := n.GPIDFor(v.Host, r.PID()); g != 0 && !yield(row{g, n, r}) {
					return
				}
			}
		}
	}
}
