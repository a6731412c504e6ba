package tree

import (
	"context"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

type standingLink struct {
	*synthetic.Link
	v viewTree
}

// StandIn implements vfs.StandIn.
func (l *standingLink) StandIn(ctx context.Context) (vfs.Node, error) {
	head := l.v.t.Views.Nodes[0]
	path, ok := strings.CutPrefix(l.Target, l.v.native.Path+"/")
	if !ok || !l.v.Reaches(head) {
		return nil, syscall.ENOENT
	}
	root := l.v.nodeRoot(head, objectid.Child(objectid.Child(l.v.ID, "nodes"), string(head.Name)))
	n, _, err := vfs.WalkPath(ctx, root, strings.Split(path, "/")...)
	return n, err
}
