package remote

import (
	"context"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
)

// miscounts reports whether a root file may count processes that the viewer is not shown.
func miscounts(n *proctable.Node, v view.Viewer, name string) bool {
	return procfile.CountsProcesses(name) && (v.Limited() || !n.Reads(v.Identity()))
}

// Limit makes a root file of a node that counts processes count those that the viewer
// is shown: those of the view, less those that the node's procfs hides (hidepid).
func Limit(ctx context.Context, n *proctable.Node, v view.Viewer, name string, text []byte) ([]byte, error) {
	if !miscounts(n, v, name) {
		return text, nil
	}
	who := v.Identity()
	if last := n.Table(); !v.Limited() && last != nil && !proctable.HidesFrom(last.Facts(), who, procfile.HideContent) {
		return text, nil
	}
	r := n.FreshRoster(ctx, who)
	if r.Table == nil {
		return nil, r.Err
	}
	if !v.Limited() && !proctable.HidesFrom(r.Table.Facts(), who, procfile.HideContent) {
		return text, nil
	}
	return procfile.Limit(name, text, counts(n, v, r)), nil
}

// counts are of the processes of a roster that the viewer is shown.
func counts(n *proctable.Node, v view.Viewer, r proctable.Roster) (c procfile.Counts) {
	k, who := r.Table.FileIndex("stat"), v.Identity()
	bare := !n.Reads(who) && proctable.HidesFrom(r.Table.Facts(), who, procfile.HideContent)
	for row := range r.Rows {
		uid := row.UID()
		switch {
		case !v.Sees(uid):
		case bare && uid != who.UID:
			c.Add(nil) // that it is there is all that is shown of it
		default:
			stat, _ := r.Table.File(row.I, k)
			c.Add(stat)
		}
	}
	return c
}
