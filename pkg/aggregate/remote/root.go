package remote

import (
	"context"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Root is the root of one node's own /proc, nothing rewritten. Its
// processes' prefetched files come from the node's table like those of the
// merged tree.
type Root struct {
	dir
	fixed vfs.Attr // its own attributes
	ctl   Ctl
}

// NewRoot makes the root of a node's /proc; attr is what the directory itself has, and ctl, which
// may be nil, makes files of its processes.
func NewRoot(n *proctable.Node, v view.Viewer, id uint64, attr vfs.Attr, ctl Ctl) *Root {
	return &Root{dir{object{n: n, v: v, id: id, attr: vfs.Attr{Mode: uint32(vfs.TypeDir) | 0o555}}}, attr, ctl}
}

// Node is whose /proc it is.
func (r *Root) Node() *proctable.Node { return r.n }

// Viewer is whom it is shown to.
func (r *Root) Viewer() view.Viewer { return r.v }

// Entries are what is in the directory on the node.
func (r *Root) Entries(ctx context.Context) ([]vfs.DirEntry, error) { return r.list(ctx) }

// Attr implements vfs.Node. The directory is there even while the node is not.
func (r *Root) Attr(ctx context.Context) (vfs.Attr, error) { return r.fixed, r.exists(ctx, nil) }

// Preview implements vfs.Previewer.
func (r *Root) Preview() vfs.Attr { return r.fixed }

// Walk implements vfs.Dir.
func (r *Root) Walk(ctx context.Context, name string) (vfs.Node, error) {
	if err := r.exists(ctx, []string{name}); err != nil {
		return nil, err
	}
	pid, ok := gpid.Parse(name)
	if !ok {
		return r.dir.Walk(ctx, name)
	}
	p, a, err := view.Resolve(ctx, r.v, r.n, gpid.PID(pid))
	if err != nil {
		return nil, err
	}
	return WithCtl(NewProcessDir(r.v, r.id, p, a), r.ctl), nil
}

// List implements vfs.Dir.
func (r *Root) List(context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(func(ctx context.Context) ([]vfs.DirEntry, error) {
		var t *proctable.Table // whose the processes are
		if r.v.Limited() {
			found := r.n.Roster(ctx, r.v.Identity())
			if t = found.Table; t == nil {
				return nil, found.Err
			}
		}
		all, err := r.list(ctx)
		if err != nil {
			return nil, err
		}
		out := all[:0]
		for _, e := range all {
			pid, ok := gpid.Parse(e.Name)
			switch {
			case !vfs.ValidName(e.Name), r.v.Denies(e.Name):
				continue
			case !ok && r.v.Limited() && view.Outside(e.Name):
				continue
			case !ok:
				e.ID = objectid.Child(r.id, e.Name)
			case t != nil && !r.sees(t, gpid.PID(pid)):
				continue
			default:
				e.ID = objectid.Process(r.id, r.n.Index, e.ID)
			}
			out = append(out, e)
		}
		return out, nil
	}), nil
}

// sees reports whether the table has the process and the viewer sees its owner.
func (r *Root) sees(t *proctable.Table, pid gpid.PID) bool {
	row, ok := t.Lookup(pid)
	return ok && r.v.Sees(row.UID())
}
