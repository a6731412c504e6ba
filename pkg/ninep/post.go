package ninep

import (
	"sync"
	"sync/atomic"
)

// The post at the connection is held by one reader at a time. To wake another
// goroutine costs more than most requests do, so the reader carries out a request
// itself if it is the only one that can run, and is back before the next can
// have come. It may be held up in the tree: who looks around (see linger) and
// finds it away on the same request a second time sends another reader to the
// post. The first then ends when it has answered.
type post struct {
	// away counts up when the reader begins a request itself, and again when it
	// is back or relieved: it is odd in between.
	away atomic.Uint64
	seen atomic.Uint64 // what away was at the last look around

	active  atomic.Int32 // requests, or chains of them, being carried out
	readers sync.WaitGroup
}

// callReader brings a reader to the post.
func (c *conn) callReader() {
	c.post.readers.Add(1)
	go c.attend()
}

// attend is the loop of a reader. The last one ends the connection.
func (c *conn) attend() {
	for {
		if !c.in.ready() {
			if back, left := c.carryOut(); left {
				return // and has been counted out
			} else if !back {
				c.post.readers.Done()
				return
			}
			c.out.flush()
		}
		frame, err := c.in.next()
		if err == nil {
			err = c.handle(frame)
		}
		if err != nil {
			c.post.readers.Done()
			c.end(err)
			return
		}
	}
}

// carryOut carries out the reader's own job, if it has one, and those queued
// behind it, or gives it to a goroutine if others are at work. It reports whether
// the reader is still at its post afterwards, and if not, whether its work was
// left to another, see Expose.
func (c *conn) carryOut() (back, left bool) {
	if c.mine == nil {
		return true, false
	}
	if c.post.active.Load() > 0 {
		c.mu.Lock()
		c.startMineLocked()
		c.mu.Unlock()
		return true, false
	}
	j := c.mine
	c.mine = nil
	c.workers.Add(1)
	c.post.active.Add(1)
	turn := c.post.away.Add(1)
	c.lingerer.set(linger)
	if !c.work(j, turn) {
		return false, true
	}
	return c.post.away.CompareAndSwap(turn, turn+1), false
}

// startMineLocked leaves the reader's own job to a goroutine.
func (c *conn) startMineLocked() {
	if c.mine != nil {
		c.startLocked(c.mine)
		c.mine = nil
	}
}

// lookAround sends the answers that have waited long enough, and another reader
// if the reader is away too long. It comes again as long as the reader is away.
func (c *conn) lookAround() {
	c.out.flush()
	away := c.post.away.Load()
	if away%2 == 0 {
		return
	}
	if c.post.seen.Swap(away) != away {
		c.lingerer.set(linger)
	} else if c.post.away.CompareAndSwap(away, away+1) {
		c.callReader()
	}
}
