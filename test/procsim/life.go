package procsim

import (
	"context"
	"sync"
	"time"
)

// lifeParts is in how many parts of a second Live has the nodes change: a cluster's do not
// change all at the same moment.
const lifeParts = 10

// A life is what Live has running.
type life struct {
	end  context.CancelFunc
	work sync.WaitGroup
}

// Live has a share of the processes of all nodes change in each second from now on, as
// Node.Churn does. It ends what an earlier call began; a share of 0 begins nothing. It must not
// be called concurrently.
func (c *Cluster) Live(share float64) {
	if c.life != nil {
		c.life.end()
		c.life.work.Wait()
		c.life = nil
	}
	if share <= 0 {
		return
	}
	ctx, end := context.WithCancel(context.Background())
	c.life = &life{end: end}
	c.life.work.Go(func() {
		tick := time.NewTicker(time.Second / lifeParts)
		defer tick.Stop()
		for part := 0; ; part = (part + 1) % lifeParts {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for i := part; i < len(c.Nodes); i += lifeParts {
				c.Nodes[i].Churn(share)
			}
		}
	})
}

// Freeze is Node.Freeze of all nodes.
func (c *Cluster) Freeze(frozen bool) {
	for _, n := range c.Nodes {
		n.Freeze(frozen)
	}
}

// Mark remembers which processes there are now, for Throughout.
func (c *Cluster) Mark() {
	for _, n := range c.Nodes {
		n.mark()
	}
}

// Throughout calls f with each process that has lived since the last Mark, and does now: the
// node's name and the pid there.
func (c *Cluster) Throughout(f func(node string, pid int)) {
	for _, n := range c.Nodes {
		for _, pid := range n.throughout() {
			f(n.Name, pid)
		}
	}
}
