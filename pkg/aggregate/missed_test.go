package aggregate

import (
	"context"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A mirror counts the answers that its daemon did not give, and not those in which the
// daemon says that a node of its own is down.
func TestMirrorMissed(t *testing.T) {
	c := beginCluster(t, Config{
		Head:  NodeConfig{Name: "head", Dial: dialLeaf},
		Nodes: []NodeConfig{{Name: "n1", Dial: func(context.Context) (Upstream, error) { return nil, syscall.ECONNREFUSED }}},
	})
	up := &endingUpstream{clusterUpstream{c}, make(chan struct{})}
	m := newMirror(t, c.store.Policy(), up)
	root := rootOf(t, m, vfs.Root, "")
	tryNode := func() error {
		_, err := vfs.ReadFile(t.Context(), root, 1<<20, "nodes", "n1", "meminfo")
		return err
	}
	eventually(t, "the node is down", func() bool { return vfs.Errno(tryNode()) == syscall.EHOSTDOWN })
	names(t, root)
	before := m.Missed()["server"]
	if err := tryNode(); vfs.Errno(err) != syscall.EHOSTDOWN {
		t.Fatal(err)
	}
	if after := m.Missed()["server"]; after != before {
		t.Errorf("a node that is down: %d answers missed became %d", before, after)
	}
	close(up.done)
	eventually(t, "the daemon is missed", func() bool {
		names(t, root)
		return m.Missed()["server"] > before
	})
}

// endingUpstream is a daemon whose connection ends.
type endingUpstream struct {
	clusterUpstream
	done chan struct{}
}

func (u *endingUpstream) Done() <-chan struct{} { return u.done }

// Attach implements Upstream.
func (u *endingUpstream) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	select {
	case <-u.done:
		return nil, syscall.ECONNRESET
	default:
	}
	return u.clusterUpstream.Attach(ctx, who, aname)
}
