package cluster

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"

	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/lograte"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/aggregate/foreign"
	"github.com/aggrfs/aggrfs/pkg/ninep"
)

// A foreignLeaf is a 9P server that is no procsrv as an upstream.
type foreignLeaf struct {
	*foreign.Leaf
	client *ninep.Client
}

// Done implements aggregate.Upstream.
func (l foreignLeaf) Done() <-chan struct{} { return l.client.Done() }

// Err implements aggregate.Upstream.
func (l foreignLeaf) Err() error { return l.client.Err() }

// Close implements aggregate.Upstream.
func (l foreignLeaf) Close() error { return l.client.Close() }

// foreignDialer opens the connection to a server of kind 9p2000, in that dialect or,
// where it does not speak that, in 9P2000.L; what it spoke last is tried first.
func foreignDialer(keys *ninep.TLS, addr ninep.Addr, n config.Node, log *slog.Logger) aggregate.Dialer {
	dial := func(ctx context.Context) (net.Conn, error) { return keys.Dial(ctx, addr, n.Name) }
	var last atomic.Pointer[string]
	log = lograte.ByMessage(log)
	return func(ctx context.Context) (aggregate.Upstream, error) {
		dialects := ninep.Dialects()
		if spoken := last.Load(); spoken != nil && *spoken != dialects[0] {
			slices.Reverse(dialects)
		}
		client, err := ninep.NewClientOf(ctx, dial, ninep.ClientConfig{Uname: n.Uname, Foreign: true, Log: log}, dialects...)
		if err != nil {
			return nil, err
		}
		spoken := client.Dialect()
		last.Store(&spoken)
		return foreignLeaf{foreign.New(client, foreign.Config{Aname: n.Aname, Log: log}, "foreign-"+rand.Text()), client}, nil
	}
}
