package cluster

import (
	"context"
	"errors"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// maxReaching is how many nodes are dialled at once by Reach.
const maxReaching = 64

// Reach dials each node of a configuration once, attaches to it as root, and lets go of it. It
// returns why those that were not reached within the configuration's timeouts were not, by name.
func Reach(ctx context.Context, cfg *config.Config, p Parts) (map[string]error, error) {
	nodes, err := upstreams(cfg, p)
	if err != nil {
		return nil, err
	}
	limit := aggregate.Timeouts(cfg.Timeouts).WithDefaults().Connect
	failed := make([]error, len(nodes))
	var reaching errgroup.Group
	reaching.SetLimit(maxReaching)
	for i := range nodes {
		reaching.Go(func() error {
			failed[i] = reachOne(ctx, &nodes[i], limit)
			return nil
		})
	}
	_ = reaching.Wait() // none returns an error
	all := map[string]error{}
	for i, err := range failed {
		if err != nil {
			all[string(nodes[i].Name)] = err
		}
	}
	return all, ctx.Err()
}

func reachOne(ctx context.Context, n *aggregate.NodeConfig, limit time.Duration) (err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	up, err := n.Dial(ctx)
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return op.Err // without the address, so that what many nodes have in common is the same text
	}
	if err != nil {
		return err
	}
	defer up.Close()
	_, err = up.Attach(ctx, vfs.Root, n.Tree)
	return err
}
