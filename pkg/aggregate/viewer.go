package aggregate

import (
	"context"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/rewrite"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A viewer is for whom the objects of a tree are shown, and what of the nodes
// exists for them now. It is asked at every request on an object, not only when
// its name is walked.
type viewer interface {
	// identity is who asks; the node reads with their rights.
	identity() vfs.Identity
	// reaches tells whether the node exists.
	reaches(n *node) bool
	// sees tells whether processes of that user exist.
	sees(uid uint32) bool
	// limited tells whether there are users whose processes do not exist.
	limited() bool
	// denies tells whether a file does not exist, by its path on its node.
	denies(path ...string) bool
	// admits tells whether what is at a path of a node exists: all of the above in
	// one. owner is whose process it leads through, not ok if through none.
	admits(n *node, owner func() (uid uint32, ok bool), path []string) bool
}

// everything is a viewer for whom all exists.
type everything struct{ who vfs.Identity }

func (e everything) identity() vfs.Identity { return e.who }
func (everything) reaches(*node) bool       { return true }
func (everything) sees(uint32) bool         { return true }
func (everything) limited() bool            { return false }
func (everything) denies(...string) bool    { return false }

func (everything) admits(*node, func() (uint32, bool), []string) bool { return true }

// process finds the process with that native pid on a node of the view: in its
// table, or by asking the node, see node.find.
func (v *view) process(ctx context.Context, n *node, pid gpid.PID) (*process, vfs.Attr, error) {
	leaf, a, err := n.find(ctx, v, pid)
	if err != nil {
		return nil, vfs.Attr{}, err
	}
	return v.admit(ctx, n, pid, leaf, a)
}

// admit makes the process if the view shows processes of its owner.
func (v *view) admit(ctx context.Context, n *node, pid gpid.PID, leaf uint64, a vfs.Attr) (*process, vfs.Attr, error) {
	if a.Type() != vfs.TypeDir || !v.sees(a.UID) {
		return nil, vfs.Attr{}, syscall.ENOENT
	}
	m, err := v.rewriter(ctx, n)
	if err != nil {
		return nil, vfs.Attr{}, err
	}
	p := newProcess(n, pid, leaf, a.UID)
	p.m = m
	return p, a, nil
}

// rewriter is what rewrites a node's files for the view's reader; a snapshot
// teaches it.
func (v *view) rewriter(ctx context.Context, n *node) (*rewrite.Map, error) {
	if k := n.clock.Load(); k != nil {
		return k.mapFor(v.c, n, v.host), nil
	}
	t, err := n.fresh(ctx)
	if err != nil {
		return nil, err
	}
	return v.c.mapping(n, t.Facts(), v.host), nil
}
