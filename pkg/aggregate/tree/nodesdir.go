package tree

import (
	"context"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remote"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// newNodesDir makes nodes/: each node of the view by name, listed at the top of
// the tree only.
func newNodesDir(v viewTree, id uint64) vfs.Node {
	return v.t.base.Dir(id, func(_ context.Context, name string) (vfs.Node, error) {
		n := v.Node(gpid.NodeName(name))
		if n == nil {
			return nil, syscall.ENOENT
		}
		return v.nodeRoot(n, objectid.Child(id, name)), nil
	}, func(context.Context) ([]vfs.DirEntry, error) {
		return v.nodeEntries(id), nil
	})
}

// nodeEntries lists the nodes of the view, at the top of the tree only, so that
// a recursive walk does not meet them again below each set and user.
func (v viewTree) nodeEntries(parent uint64) []vfs.DirEntry {
	if v.Path != "" {
		return nil
	}
	nodes := v.Nodes()
	all := make([]vfs.DirEntry, len(nodes))
	for i, n := range nodes {
		all[i] = vfs.DirEntry{Name: string(n.Name), ID: objectid.Child(parent, string(n.Name)), Type: vfs.TypeDir, Next: uint64(n.Index) + 1}
	}
	return all
}

// nodeRoot is the root of one node's own /proc.
func (v viewTree) nodeRoot(n *proctable.Node, id uint64) *remote.Root {
	return remote.NewRoot(n, v.View, id, v.t.base.Attr(id, vfs.TypeDir), v.ctl)
}

// attachNode is what is at NodeTree(name), with snapshots before it or without.
func (v viewTree) attachNode(name gpid.NodeName, snapshots bool) (vfs.Node, error) {
	n := v.Node(name)
	switch {
	case n == nil:
		return nil, syscall.ENOENT
	case !snapshots:
		return &passedRoot{v.nodeRoot(n, objectid.Bare), v.Weight()}, nil
	case !n.Reads(v.Who):
		return nil, syscall.EACCES
	}
	return snapshot.NewDir(v.t.base.Attr(objectid.Child(objectid.Bare, upstream.SnapshotTree), vfs.TypeDir), n.Log, n.Relay), nil
}
