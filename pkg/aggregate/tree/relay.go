package tree

import (
	"context"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remote"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A front end is itself a leaf for each of its nodes: upstream.NodeTree names the tree of one, and
// what is at "snapshot" before it are the node's snapshots, passed on as they came, with
// its own pids and times and the leaf's numbers. A front end above deals gpids.

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

// passedRoot is the root of a node's tree, for a front end that takes its attributes
// for a sign of life.
type passedRoot struct {
	*remote.Root
	weight int64 // of the view, which is its own
}

// Weight implements vfs.Weighty.
func (r *passedRoot) Weight() int64 { return r.weight }

// Attr implements vfs.Node: EHOSTDOWN where the node does not answer.
func (r *passedRoot) Attr(ctx context.Context) (vfs.Attr, error) {
	if err := r.Node().AwaitTried(ctx); err != nil {
		return vfs.Attr{}, err
	}
	if h := r.Node().Health(); h.State != upstream.Up {
		return vfs.Attr{}, r.Node().Unwell()
	}
	return r.Root.Attr(ctx)
}
