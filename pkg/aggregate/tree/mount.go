package tree

import (
	"context"
	"fmt"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/aggregate/listing"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Mount is the tree for one mount by FUSE on this machine. Its readers are known by their
// threads (vfs.CallerOf), and what they were listed is a promise, see package listing. It is a
// vfs.Tree.
type Mount struct {
	t        *Tree
	native   *native
	listings *listing.Mount
}

// Attach implements vfs.Tree, see Tree.Attach; a mount has no snapshots. A mount may attach as
// often as it likes, and for several identities: a reader's listing is not of one attach.
func (m *Mount) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	if strings.HasPrefix(aname, upstream.SnapshotTree) {
		return nil, fmt.Errorf("mount %q: %w", aname, syscall.ENOENT)
	}
	return m.t.attach(ctx, who, aname, m.native, m.listings)
}

// Close drops what was listed by readers of the mount.
func (m *Mount) Close() { m.listings.Close() }
