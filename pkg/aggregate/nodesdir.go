package aggregate

import (
	"context"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// newNodesDir makes nodes/: each node of the view by name, listed at the top of
// the tree only.
func newNodesDir(v *view, id uint64) vfs.Node {
	return &madeDir{made: v.c.made, id: id, walk: func(_ context.Context, name string) (vfs.Node, error) {
		n := v.node(gpid.NodeName(name))
		if n == nil {
			return nil, syscall.ENOENT
		}
		return newNodeRoot(n, v, childID(id, name)), nil
	}, list: func(context.Context) ([]vfs.DirEntry, error) {
		return v.nodeEntries(id), nil
	}}
}

// nodeEntries lists the nodes of the view, at the top of the tree only, so that
// a recursive walk does not meet them again below each set and user.
func (v *view) nodeEntries(parent uint64) []vfs.DirEntry {
	if v.path != "" {
		return nil
	}
	nodes := v.nodes()
	all := make([]vfs.DirEntry, len(nodes))
	for i, n := range nodes {
		all[i] = vfs.DirEntry{Name: string(n.name), ID: childID(parent, string(n.name)), Type: vfs.TypeDir, Next: uint64(n.index) + 1}
	}
	return all
}

// nodeRoot is the root of one node's own /proc, nothing rewritten. Its
// processes' prefetched files come from the node's table like those of the
// merged tree.
type nodeRoot struct {
	remoteDir
	fixed vfs.Attr // its own attributes
}

func newNodeRoot(n *node, v *view, id uint64) *nodeRoot {
	return &nodeRoot{
		remoteDir: remoteDir{remote{n: n, v: v, id: id, attr: vfs.Attr{Mode: uint32(vfs.TypeDir) | 0o555}}},
		fixed:     v.c.made.attr(id, vfs.TypeDir),
	}
}

// Attr implements vfs.Node. The directory is there even while the node is not.
func (r *nodeRoot) Attr(context.Context) (vfs.Attr, error) { return r.fixed, r.exists(nil) }

// Preview implements vfs.Previewer.
func (r *nodeRoot) Preview() vfs.Attr { return r.fixed }

// Walk implements vfs.Dir.
func (r *nodeRoot) Walk(ctx context.Context, name string) (vfs.Node, error) {
	if err := r.exists([]string{name}); err != nil {
		return nil, err
	}
	pid, ok := gpid.Parse(name)
	if !ok {
		return r.remoteDir.Walk(ctx, name)
	}
	leaf, a, err := r.n.find(ctx, r.v, gpid.PID(pid))
	if err != nil {
		return nil, err
	}
	return newProcessDir(r.v, r.id, newProcess(r.n, gpid.PID(pid), leaf, a.UID), a), nil
}

// List implements vfs.Dir.
func (r *nodeRoot) List(context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(func(ctx context.Context) ([]vfs.DirEntry, error) {
		var t *table // whose the processes are
		if r.v.limited() {
			found := r.n.roster(ctx, r.v.identity())
			if t = found.t; t == nil {
				return nil, found.err
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
			case !vfs.ValidName(e.Name), r.v.denies(e.Name):
				continue
			case !ok && r.v.limited() && outside(e.Name):
				continue
			case !ok:
				e.ID = childID(r.id, e.Name)
			case t != nil && !t.shows(gpid.PID(pid), r.v.sees):
				continue
			default:
				e.ID = processID(r.id, r.n.index, e.ID)
			}
			out = append(out, e)
		}
		return out, nil
	}), nil
}

// shows tells whether the table has the process and its owner is seen.
func (t *table) shows(pid gpid.PID, sees func(uint32) bool) bool {
	i, ok := t.Find(int32(pid))
	return ok && sees(t.Proc(i).UID)
}
