package aggregate

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/control"
	"github.com/aggrfs/aggrfs/internal/rpcfile"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A slowControl is a node that lets everybody act, and takes its time for each batch.
type slowControl struct {
	Upstream
	takes   time.Duration
	batches *atomic.Int64
}

func (s slowControl) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	if aname != control.Tree {
		return s.Upstream.Attach(ctx, who, aname)
	}
	files := rpcfile.Server{Most: 2 * control.MaxBatch, Answer: func(ctx context.Context, batch []byte) ([]byte, error) {
		s.batches.Add(1)
		_, rest, err := control.CutHeader(batch)
		if err != nil {
			return nil, err
		}
		requests, err := control.ParseRequests(rest)
		if err != nil {
			return nil, err
		}
		select {
		case <-time.After(s.takes):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		answer := control.AppendHeader(nil, control.Limit{})
		for _, r := range requests {
			answer = control.AppendAnswer(answer, control.Answer{ID: r.ID})
		}
		return answer, nil
	}}
	return files.Dir(vfs.Attr{ID: 5, Mode: uint32(vfs.TypeDir) | 0o500}, control.File), nil
}

// A write of many actions to one process's ctl ends at the deadline of a request, however slow the
// node is for each.
func TestCtlOfSlowNode(t *testing.T) {
	l := newFakeLeaf()
	l.add(10, 0, 1, 1, 1)
	const takes, read = 100 * time.Millisecond, 2 * time.Second
	var batches atomic.Int64
	auth := access.New(access.Rules{Control: access.Control{All: true}}, userdb.New(userdb.Config{}), nil)
	c := startCluster(t, Config{
		Head: NodeConfig{Name: "head", Dial: newFakeLeaf().dial},
		Nodes: []NodeConfig{{Name: "n1", Dial: func(ctx context.Context) (Upstream, error) {
			u, err := l.dial(ctx)
			return slowControl{u, takes, &batches}, err
		}}},
		Access: auth, Timeouts: Timeouts{Connect: time.Second, Read: read, Sweep: time.Second},
	})
	h, _, err := vfs.OpenPath(t.Context(), rootOf(t, c, vfs.Root, ""), "10000010", "ctl")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	const many = 100
	n, err := h.(vfs.Writer).WriteAt(t.Context(), []byte(strings.Repeat("nice 1\n", many)), 0)
	if err == nil || n != 0 || batches.Load() > int64(read/takes)+1 {
		t.Errorf("%d bytes written, %v, %d of %d actions", n, err, batches.Load(), many)
	}
	before := batches.Load()
	if _, err := h.(vfs.Writer).WriteAt(t.Context(), []byte("nice 1\nnice 2\n"), 0); err != nil || batches.Load() != before+2 {
		t.Errorf("two actions: %v", err)
	}
}
