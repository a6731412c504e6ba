package device

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// The watch ends requests at their deadlines and sends readers to a deserted
// post. It looks around now and then instead of having a timer for each request:
// often while requests come, at the pace of the deadlines while old ones
// last, not at all while there are none.
const (
	// relief is how often it looks while requests come: a post is deserted if
	// nobody was there twice, and no request was taken in between.
	relief = time.Millisecond
	// restAfter is how many looks without a request it takes to be at rest.
	restAfter = 100
	// ticks is how many looks there are in a deadline: a request may live that
	// much longer.
	ticks       = 20
	shortestGap = 5 * time.Millisecond
	// grace is the part of the deadline that a call has to end after its
	// context did, before the watch answers in its stead.
	grace = 5
)

func (c *Conn) watch(stop <-chan struct{}) {
	gap := max(c.cfg.Deadline/ticks, shortestGap)
	t := time.NewTimer(relief)
	defer t.Stop()
	var seen uint64
	var due time.Time
	for quiet := 0; ; {
		taken := c.post.taken.Load()
		if quiet++; taken != seen {
			seen, quiet = taken, 0
		} else if c.post.waiting.Load() == 0 && quiet > 0 {
			c.call()
		}
		now := time.Now()
		if !now.Before(due) {
			c.look(now)
			due = now.Add(gap)
		}
		if quiet < restAfter {
			t.Reset(relief)
		} else {
			c.post.resting.Store(true)
			if c.post.taken.Load() != seen { // by one who did not see us rest
				c.post.resting.Store(false)
				continue
			}
			t.Stop()
			if c.requests.running() > 0 {
				t.Reset(gap)
			}
		}
		select {
		case <-t.C:
		case <-c.post.nudge:
		case <-stop:
			return
		}
	}
}

// call brings another reader to the post, unless enough is in flight: the post is deserted
// then until one of them is back. Nor does it when the server is at its end, where the
// readers are waited for.
func (c *Conn) call() {
	if c.isFull() {
		return
	}
	c.calling.Lock()
	defer c.calling.Unlock()
	if c.closing {
		return
	}
	c.post.arrive()
	c.readers.Go(c.reader)
}

// isFull reports whether no more requests may be in flight than are. What has been answered
// for does not count: that its call goes on is no deed of who asked.
func (c *Conn) isFull() bool {
	return c.cfg.MaxRequests > 0 && c.requests.inFlight() >= c.cfg.MaxRequests || c.cfg.Load.full()
}

// look ends what is over its deadline and answers for what is over its grace.
func (c *Conn) look(now time.Time) {
	for _, r := range c.requests.all() {
		if now.Before(r.deadline) {
			continue
		}
		r.End(context.DeadlineExceeded)
		if now.After(r.deadline.Add(max(c.cfg.Deadline/grace, shortestGap))) {
			c.abandon(r, unix.ETIMEDOUT)
		}
	}
}

// abandon answers in the stead of a call into the tree that does not end.
func (c *Conn) abandon(r *Request, errno unix.Errno) {
	if !c.requests.settleLate(r) {
		return
	}
	c.cfg.Log.Warn("a call into the tree goes on after its deadline; it was answered for", "deadline", c.cfg.Deadline)
	var out [16]byte
	failure(out[:], r.unique, errno)
	_ = c.dev.write(out[:]) // an unmount may have come first
}

// abandonAll answers whatever is still waited for when the server ends.
func (c *Conn) abandonAll() {
	for _, r := range c.requests.all() {
		c.abandon(r, unix.EIO)
	}
}
