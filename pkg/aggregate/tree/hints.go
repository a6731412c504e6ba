package tree

import (
	"context"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/clusterdir"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// maxHints bounds the file, in bytes.
const maxHints = 1 << 16

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
