package aggregate

import (
	"context"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// standing is a link into the reader's native procfs for a view: what is nearest
// to it in the tree, for clients that know no links, is the head node's own file
// of that name, since it is the head's clock that start times are told by.
func (v *view) standing(l *link, err error) (vfs.Node, error) {
	if err != nil {
		return nil, err
	}
	return &standingLink{l, v}, nil
}

// alone is a link into the reader's native procfs where all clients know links.
func alone(l *link, err error) (vfs.Node, error) {
	if err != nil {
		return nil, err
	}
	return l, nil
}

type standingLink struct {
	*link
	v *view
}

// StandIn implements vfs.StandIn.
func (l *standingLink) StandIn(ctx context.Context) (vfs.Node, error) {
	head := l.v.c.nodes[0]
	path, ok := strings.CutPrefix(l.target, l.v.c.native.path+"/")
	if !ok || !l.v.reaches(head) {
		return nil, syscall.ENOENT
	}
	root := newNodeRoot(head, l.v, childID(childID(l.v.id, "nodes"), string(head.name)))
	n, _, err := vfs.WalkPath(ctx, root, strings.Split(path, "/")...)
	return n, err
}
