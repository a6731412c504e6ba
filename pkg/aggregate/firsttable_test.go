package aggregate

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// expiring is a context whose deadline passes when the test says so.
type expiring struct {
	context.Context
	done chan struct{}
}

func (e expiring) Done() <-chan struct{} { return e.done }

func (e expiring) Err() error {
	select {
	case <-e.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// lateUpstream is a cluster whose first snapshot comes when the time for opening it is over.
type lateUpstream struct {
	*clusterUpstream
	over func()
}

func (u *lateUpstream) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	if strings.HasPrefix(aname, procfs9p.SnapshotName) {
		u.over()
		time.Sleep(20 * time.Millisecond) // for a Check that gave up to return before the answer
	}
	return u.clusterUpstream.Attach(ctx, who, aname)
}

// The first table is waited for as long as the cluster itself may take for it.
func TestFirstTable(t *testing.T) {
	c := newTestCluster(t, Config{Timeouts: Timeouts{Read: 20 * time.Second, Sweep: 20 * time.Second}}, "n1")
	ctx := expiring{t.Context(), make(chan struct{})}
	m, err := NewMirror(Config{
		Head: NodeConfig{Name: "server", Dial: func(context.Context) (Upstream, error) {
			return &lateUpstream{&clusterUpstream{c}, sync.OnceFunc(func() { close(ctx.done) })}, nil
		}},
		Policy: cachepolicy.Sweep(1),
	}, vfs.Root, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if err := m.Check(ctx); err != nil || !m.Whole() {
		t.Errorf("%v, whole is %v", err, m.Whole())
	}
}
