package tree

import (
	"context"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/clusterdir"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// maxHints bounds the file, in bytes.
const maxHints = 1 << 16

// readHints reads a cluster's hints; zero is what it does not say.
func readHints(ctx context.Context, n *proctable.Node) (h report.Hints, err error) {
	err = n.Call(ctx, n.Reader, func(ctx context.Context, root vfs.Dir) error {
		text, err := vfs.ReadFile(ctx, root, maxHints, "cluster", clusterdir.HintsFile)
		if err == nil {
			h = report.ParseHints(text)
		}
		return err
	})
	return h, err
}

// Patience is how long a request of a cluster's tree may take, as that says itself in
// cluster/hints, and whether its tables of processes say what they lack, as those of an
// older front end do not. ENOENT is that the tree is no cluster's.
func Patience(ctx context.Context, root vfs.Dir) (patience time.Duration, remarks bool, err error) {
	text, err := vfs.ReadFile(ctx, root, maxHints, "cluster", clusterdir.HintsFile)
	if err != nil {
		return 0, false, err
	}
	h := report.ParseHints(text)
	t := upstream.Timeouts{Read: h.Read, Sweep: h.Sweep}
	return t.Patience(), h.Remarks, nil
}

// follow makes the node that is a cluster be waited for as long as that itself may
// wait for a node, and some more.
func follow(n *proctable.Node, h report.Hints) {
	if t := (upstream.Timeouts{Read: h.Read, Sweep: h.Sweep}); t.Read > 0 {
		n.SetTimeouts(upstream.Timeouts{Connect: n.Limits().Connect, Read: t.Patience(), Sweep: t.Sweep + time.Second})
	}
}
