package proctable

import (
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

// drop drops what is cached.
func (c *cgroups) drop() { c.cached.Store(nil) }

// tidy drops what can be used no longer.
func (c *cgroups) tidy(now time.Time) {
	if h := c.cached.Load(); h != nil && !(h.by.Live() && now.Before(h.until)) {
		c.cached.CompareAndSwap(h, nil)
	}
}
