package proctable

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
)

// cgroups are those of all processes of a node, as one exchange brought them. They are
// cached for as long as the policy says.
type cgroups struct {
	turn   *semaphore.Weighted // one asks the node, the others wait for the answer
	cached atomic.Pointer[cachedCgroups]
}

type cachedCgroups struct {
	t     *Table
	by    *upstream.Session
	until time.Time
}

func newCgroups() cgroups { return cgroups{turn: semaphore.NewWeighted(1)} }

// Cgroups is a table of the cgroup files of all processes, of now or as they are cached.
func (n *Node) Cgroups(ctx context.Context) (*Table, error) {
	c := &n.cgroups
	if err := c.turn.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer c.turn.Release(1)
	asked, policy := n.Now(), n.Policy()
	if h := c.cached.Load(); h != nil && h.by.Live() && asked.Before(h.until) {
		return h.t, nil
	}
	got, by, err := n.exchangeSnapshot("cgroup")
	if err != nil {
		return nil, err
	}
	t := &Table{Table: got, session: by}
	if cache := time.Duration(policy.Rule(string(n.Name), "1/cgroup").Cache); cache > 0 {
		c.cached.Store(&cachedCgroups{t, by, asked.Add(min(cache, aheadMost))})
		if n.Policy() != policy { // by which they may not be cached
			c.drop()
		}
	}
	return t, nil
}

// drop drops what is cached.
func (c *cgroups) drop() { c.cached.Store(nil) }

// tidy drops what can be used no longer.
func (c *cgroups) tidy(now time.Time) {
	if h := c.cached.Load(); h != nil && !(h.by.Live() && now.Before(h.until)) {
		c.cached.CompareAndSwap(h, nil)
	}
}
