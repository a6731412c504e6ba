package tree

import (
	"context"

	"github.com/aggrfs/aggrfs/pkg/aggregate/remote"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A front end is itself a leaf for each of its nodes: upstream.NodeTree names the tree of one, and
// what is at "snapshot" before it are the node's snapshots, passed on as they came, with
// its own pids and times and the leaf's numbers. A front end above deals gpids.

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
