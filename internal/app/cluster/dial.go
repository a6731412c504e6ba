package cluster

import (
	"context"
	"crypto/rand"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/lograte"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/aggregate/foreign"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"golang.org/x/sync/semaphore"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
)

// Dialer opens connections to the 9P server at addr, whose certificate has that name. Its log
// is limited in rate, since a server may end each connection by an error.
func Dialer(keys *ninep.TLS, addr ninep.Addr, name string, cfg ninep.ClientConfig) aggregate.Dialer {
	return clientDialer(func(ctx context.Context) (net.Conn, error) { return keys.Dial(ctx, addr, name) }, cfg)
}

// clientDialer is Dialer for what dial connects to.
func clientDialer(dial func(context.Context) (net.Conn, error), cfg ninep.ClientConfig) aggregate.Dialer {
	cfg.Log = lograte.ByMessage(cfg.Log)
	return func(ctx context.Context) (aggregate.Upstream, error) {
		conn, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		client, err := ninep.NewClient(ctx, conn, cfg)
		if err != nil {
			return nil, explain(ctx, conn, err)
		}
		return client, nil
	}
}

// embeddedLeaf is the leaf of this machine, in this process.
func embeddedLeaf(cfg *config.Config, p Parts) aggregate.Dialer {
	return func(context.Context) (aggregate.Upstream, error) {
		leaf, err := procfs9p.New(procfs9p.Config{
			Root: cfg.Proc, Version: p.Version, Log: p.Log,
			// As long as is waited for it; less where that is less would only lack processes.
			ReadTimeout: max(procfs9p.ReadTimeout, cfg.Timeouts.Read), SweepTimeout: max(procfs9p.SweepTimeout, cfg.Timeouts.Sweep),
		})
		if err != nil {
			return nil, err
		}
		return local{leaf}, nil
	}
}

// local is a tree in this process as an upstream: a connection that does not
// end by itself.
type local struct{ *procfs9p.Leaf }

// Done implements aggregate.Upstream.
func (local) Done() <-chan struct{} { return nil }

// Err implements aggregate.Upstream.
func (local) Err() error { return nil }

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
func foreignDialer(dial func(context.Context) (net.Conn, error), n config.Node, log *slog.Logger) aggregate.Dialer {
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

// A sharedDialer gives all nodes behind another aggrfs one connection to it.
type sharedDialer struct {
	open aggregate.Dialer
	turn *semaphore.Weighted // of weight 1: the lock on what follows, which a dial may hold long
	up   *sharedUpstream
}

// sharedUpstream is a connection that several nodes use.
type sharedUpstream struct {
	aggregate.Upstream
	users int // guarded by sharedDialer.turn
}

// Shared is a dialer that gives all who dial one connection, for as long as it lives and any of them
// has it open.
func Shared(open aggregate.Dialer) aggregate.Dialer { return newSharedDialer(open).dial }

func newSharedDialer(open aggregate.Dialer) *sharedDialer {
	return &sharedDialer{open: open, turn: semaphore.NewWeighted(1)}
}

// dial is an aggregate.Dialer.
func (d *sharedDialer) dial(ctx context.Context) (aggregate.Upstream, error) {
	if d.turn.Acquire(ctx, 1) != nil {
		return nil, context.Cause(ctx)
	}
	defer d.turn.Release(1)
	if d.up != nil {
		select {
		case <-d.up.Done():
			d.up = nil // who uses it still closes it
		default:
		}
	}
	if d.up == nil {
		up, err := d.open(ctx)
		if err != nil {
			return nil, err
		}
		d.up = &sharedUpstream{Upstream: up}
	}
	d.up.users++
	return &sharedUse{sharedUpstream: d.up, dialer: d}, nil
}

// sharedUse is one node's use of the connection.
type sharedUse struct {
	*sharedUpstream
	dialer *sharedDialer
	once   sync.Once
}

// Close implements aggregate.Upstream: the last one closes the connection.
func (u *sharedUse) Close() (err error) {
	u.once.Do(func() {
		u.dialer.turn.Acquire(context.Background(), 1) // which does not end
		defer u.dialer.turn.Release(1)
		if u.users--; u.users > 0 {
			return
		}
		if u.dialer.up == u.sharedUpstream {
			u.dialer.up = nil
		}
		err = u.Upstream.Close()
	})
	return err
}
