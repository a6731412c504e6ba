package cachepolicy

import (
	"sync"
	"time"
)

// A clock counts from when it was made. Without a source it is the system's
// monotonic clock, which does not step; a source may.
type clock struct {
	base   time.Time
	source func() time.Time

	mu     sync.Mutex // guards the rest, for a source
	last   time.Duration
	offset time.Duration
}

// leap is longer than any rule lets anything be held or shown as stale, Lifetime
// apart, which no clock ends.
const leap = 2*maxSpan + time.Hour

func newClock(source func() time.Time) *clock {
	c := &clock{base: time.Now(), source: source}
	if source != nil {
		c.base = source()
	}
	return c
}

// now may be called concurrently.
func (c *clock) now() Moment {
	if c.source == nil {
		return Moment(time.Since(c.base))
	}
	return c.sourced()
}

// sourced is the source's time, made to go on: how long ago anything was is not
// known once it has stepped back, so everything becomes too old. What has passed since
// somebody last looked, and a step back by less, are one and the same to it: who has
// the choice leaves the source away.
func (c *clock) sourced() Moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.source().Sub(c.base)
	if t < c.last {
		c.offset += c.last - t + leap
	}
	c.last = t
	return Moment(t + c.offset)
}
