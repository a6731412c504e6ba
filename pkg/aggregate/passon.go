package aggregate

import (
	"context"
	"slices"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A cluster is itself a leaf for each of its nodes: NodeTree names the tree of one, and
// what is at "snapshot" before it are the node's snapshots, passed on as they came, with
// its own pids and times and the leaf's numbers. A front end above deals gpids.

// NodeTree is the attach name of the tree of one node.
func NodeTree(name gpid.NodeName) string { return "/nodes/" + string(name) }

// bareRoot is the number of the root of such a tree: below it processes have the leaf's
// own numbers.
const bareRoot = 1

// attachNode is what is at NodeTree(name), with snapshots before it or without.
func (v *view) attachNode(name gpid.NodeName, snapshots bool) (vfs.Node, error) {
	n := v.node(name)
	switch {
	case n == nil || n.cluster:
		return nil, syscall.ENOENT
	case !snapshots:
		return &passedRoot{newNodeRoot(n, v, bareRoot), v.weight()}, nil
	case !n.reads(v.who):
		return nil, syscall.EACCES
	}
	return snapshot.NewDir(v.c.made.attr(childID(bareRoot, snapshotName), vfs.TypeDir), n.log, n.passOn), nil
}

// passedRoot is the root of a node's tree, for a front end that takes its attributes
// for a sign of life.
type passedRoot struct {
	*nodeRoot
	weight int64 // of the view, which is its own
}

// Weight implements vfs.Weighty.
func (r *passedRoot) Weight() int64 { return r.weight }

// Attr implements vfs.Node: EHOSTDOWN where the node does not answer.
func (r *passedRoot) Attr(ctx context.Context) (vfs.Attr, error) {
	if err := r.n.awaitTried(ctx); err != nil {
		return vfs.Attr{}, err
	}
	if h := r.n.healthNow(); h.state != stateUp {
		return vfs.Attr{}, r.n.unwell(h)
	}
	return r.nodeRoot.Attr(ctx)
}

// passOn is a [snapshot.Source]: what is held of the node, if that is young enough and
// of these files, or what it says now.
func (n *node) passOn(ctx context.Context, req snapshot.Request) ([]byte, error) {
	if !slices.Equal(req.Files, n.policy().Prefetch()) {
		t, err := n.exchangeSnapshot(req.Files...)
		if err != nil {
			return nil, err
		}
		req.Remember, req.Held = false, 0
		return t.Answer(req, 0), nil
	}
	since := n.now().Add(-req.MaxAge)
	t := n.table.Load()
	for t == nil || t.orphan || t.moment.Before(since) || !slices.Equal(t.Files(), req.Files) {
		var err error
		if t, err = n.newer(ctx, since); err != nil {
			return nil, err
		}
		if !slices.Equal(t.Files(), req.Files) {
			return nil, syscall.EAGAIN // the policy has just changed
		}
	}
	return t.Answer(req, n.now().Sub(t.moment)), nil
}
