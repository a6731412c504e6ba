package main

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"

	"github.com/aggrfs/aggrfs/internal/config"
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
// where it speaks no other, in 9P2000.L.
func foreignDialer(keys *ninep.TLS, addr ninep.Addr, n config.Node, log *slog.Logger) aggregate.Dialer {
	dial := func(ctx context.Context, dialect string) (*ninep.Client, error) {
		conn, err := keys.Dial(ctx, addr, n.Name)
		if err != nil {
			return nil, err
		}
		return ninep.NewClient(ctx, conn, ninep.ClientConfig{Dialect: dialect, Uname: n.Uname, Foreign: true, Log: log})
	}
	return func(ctx context.Context) (aggregate.Upstream, error) {
		client, err := dial(ctx, "9P2000")
		if errors.Is(err, ninep.ErrDialect) {
			client, err = dial(ctx, "9P2000.L")
		}
		if err != nil {
			return nil, err
		}
		return foreignLeaf{foreign.New(client, foreign.Config{Aname: n.Aname, Log: log}, "foreign-"+rand.Text()), client}, nil
	}
}
