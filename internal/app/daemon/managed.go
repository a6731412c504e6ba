package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/internal/service"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// statusInterval is how often the service manager is told how many nodes are in which state,
// where that has changed.
const statusInterval = 5 * time.Second

// tell tells the service manager how the daemon is, until ctx ends: that it is ready, when every
// node has been reached and has told its processes or patience is over; then how the nodes are,
// and that the daemon is alive.
func tell(ctx context.Context, manager *service.Manager, tree *aggregate.Cluster, patience time.Duration) {
	first, cancel := context.WithTimeout(ctx, patience)
	tree.Ready(first)
	_ = sweep(first, tree) // what it lacks is in cluster/nodes
	cancel()
	if ctx.Err() != nil {
		return
	}
	told := nodesText(tree)
	manager.Status(told)
	manager.Ready()
	var watching sync.WaitGroup
	watching.Go(func() { manager.Watch(ctx, func(ctx context.Context) error { return readStatus(ctx, tree) }) })
	defer watching.Wait()
	tick := time.NewTicker(statusInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now := nodesText(tree); now != told {
			manager.Status(now)
			told = now
		}
	}
}

// nodesText says how many nodes are in which state.
func nodesText(tree *aggregate.Cluster) string {
	part := tree.NodesPart()
	if part.State == report.OK {
		return "nodes: " + part.Detail
	}
	return "nodes missing: " + part.Detail
}

// sweep lists the tree as root, for which all nodes are asked.
func sweep(ctx context.Context, tree *aggregate.Cluster) error {
	root, err := tree.Attach(ctx, vfs.Root, "")
	if err != nil {
		return err
	}
	dir, ok := root.(vfs.Dir)
	if !ok {
		return nil
	}
	h, err := dir.List(ctx)
	if err != nil {
		return err
	}
	defer h.Close()
	_, err = h.ReadDir(ctx, 0, nil, 1)
	return err
}

// readStatus reads cluster/status of the tree, for which no node is asked.
func readStatus(ctx context.Context, tree *aggregate.Cluster) error {
	root, err := tree.Attach(ctx, vfs.Root, "")
	if err != nil {
		return err
	}
	dir, ok := root.(vfs.Dir)
	if !ok {
		return nil
	}
	h, _, err := vfs.OpenPath(ctx, dir, "cluster", "status")
	if err != nil {
		return err
	}
	return h.Close()
}
