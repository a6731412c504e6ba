package cluster

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/aggrfs/aggrfs/pkg/aggregate"
)

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
