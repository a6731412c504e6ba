package proctable

import (
	"context"
	"slices"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

// Relay answers a front end above, which has this one as its upstream: it is a
// [snapshot.Source] of the last table, if that is young enough and of the files that are
// asked for, or of what the node says now. The answer has the node's own pids and times.
func (n *Node) Relay(ctx context.Context, req snapshot.Request) ([]byte, error) {
	if !slices.Equal(req.Files, n.Policy().Prefetch()) {
		t, _, err := n.exchangeSnapshot(req.Files...)
		if err != nil {
			return nil, err
		}
		req.Remember, req.Held = false, 0
		return t.Answer(req, 0), nil
	}
	since := n.Now().Add(-req.MaxAge)
	t := n.table.Load()
	for !t.Live() || t.moment.Before(since) || !slices.Equal(t.Files(), req.Files) {
		var err error
		if t, err = n.Newer(ctx, since); err != nil {
			return nil, err
		}
		if !slices.Equal(t.Files(), req.Files) {
			return nil, syscall.EAGAIN // the policy has just changed
		}
	}
	return t.Answer(req, n.Now().Sub(t.moment)), nil
}
