package aggregate

import (
	"context"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A giantUpstream is a cluster with more processes than fit into a snapshot.
type giantUpstream struct {
	*clusterUpstream
	requests *atomic.Int64 // for snapshots
}

func (u giantUpstream) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	n, err := u.clusterUpstream.Attach(ctx, who, aname)
	if dir, ok := n.(vfs.Dir); ok && err == nil && strings.HasPrefix(aname, upstream.SnapshotTree) {
		return giantDir{dir, u.requests}, nil
	}
	return n, err
}

type giantDir struct {
	vfs.Dir
	requests *atomic.Int64
}

func (d giantDir) Walk(ctx context.Context, name string) (vfs.Node, error) {
	n, err := d.Dir.Walk(ctx, name)
	if err != nil {
		return nil, err
	}
	return tellRequests(n, name, func(context.Context, []byte) error {
		d.requests.Add(1)
		return syscall.EFBIG
	}), nil
}

// A mirror of more processes than fit into a snapshot shows them all the same, and does
// not ask for one again and again.
func TestMirrorOfTooMany(t *testing.T) {
	pid := sleeper(t, 0)
	c := newTestCluster(t, Config{}, "n1")
	var asked atomic.Int64
	m := newMirror(t, cachepolicy.Sweep(1), giantUpstream{&clusterUpstream{c}, &asked})
	if m.Whole() {
		t.Error("it has all processes at once")
	}
	g := gpid0(pid)
	root, here := rootOf(t, m, vfs.Root, ""), rootOf(t, c, vfs.Root, "")
	for range 3 {
		if all := names(t, root); !listed(all, g) || !listed(all, "meminfo") {
			t.Errorf("listed is %v", all)
		}
		for _, file := range []string{"stat", "status", "cmdline", "environ"} {
			if a, b := read(t, root, g, file), read(t, here, g, file); a != b {
				t.Errorf("%s: %q, the cluster has %q", file, a, b)
			}
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked for a snapshot %d times", n)
	}
}
