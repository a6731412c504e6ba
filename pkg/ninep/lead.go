package ninep

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Who reads the answers. One at a time has that role, guarded by Client.mu:
//
// A caller that sends while nobody has the role takes it and asks the socket
// over and over for its own answer; it gives others theirs if they come. To be
// woken for an answer takes longer than most take to come. If nothing comes for
// pollTime it passes the role on and waits as others do.
//
// The receiver, a goroutine, sleeps at the socket with the role while callers
// wait. When none does it lays the role down, if answers come soon these days;
// and takes it up again if nobody had it for a while, to notice a hang-up.
type role uint8

const (
	nobody role = iota
	caller
	receiver
)

// restTime is how long callers may leave the role alone before the receiver takes
// it. It looks at that pace while they come and go, and not at all afterwards.
const restTime = 5 * time.Millisecond

// await waits until ex is settled or ctx ends.
func (c *Client) await(ctx context.Context, ex *exchange) error {
	start := time.Now()
	settled, alone := c.lead(ex, start.Add(pollTime))
	if settled {
		return nil
	}
	select {
	case <-ex.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.polls && alone && !c.quick.Load() && time.Since(start) < pollTime {
		c.quick.Store(true)
	}
	return nil
}

// lead takes answers until ex is settled, if the role is free and as long as it
// is worth while. It returns whether ex is settled, and if not, whether it was the
// only one that waits: among many it is better that one reads for all.
func (c *Client) lead(ex *exchange, end time.Time) (settled, alone bool) {
	c.mu.Lock()
	alone = len(c.calls)-len(c.tags)-c.clunks <= ex.left
	if !alone {
		c.quick.Store(false)
		c.summonLocked()
	}
	if c.role != nobody || c.err != nil {
		c.mu.Unlock()
		return false, alone
	}
	c.role = caller
	c.led++
	c.mu.Unlock()
	for !settled {
		frame, err := c.in.poll(end)
		if err == unix.EAGAIN {
			break
		}
		if err == nil {
			err = c.take(frame)
		}
		if err != nil {
			c.fail(explainServer(err))
		}
		select {
		case <-ex.ready:
			settled = true
		default:
		}
	}
	if !settled {
		c.quick.Store(false)
	}
	c.mu.Lock()
	c.role = nobody
	if c.err != nil || len(c.tags) < len(c.calls) {
		c.summonLocked()
	}
	c.mu.Unlock()
	return settled, true
}

// summonLocked gives the role to the receiver, if nobody has it.
func (c *Client) summonLocked() {
	if c.role == nobody {
		c.role = receiver
		c.summons <- struct{}{}
	}
}

// receive is the receiver: it has the role at first and whenever it is summoned.
func (c *Client) receive() {
	rest := time.NewTimer(restTime)
	defer rest.Stop()
	for c.takeAll() {
		c.mu.Lock()
		led := c.led
		c.mu.Unlock()
		rest.Reset(restTime)
		for idle := true; idle; {
			select {
			case <-c.summons:
				idle = false
			case <-rest.C:
				c.mu.Lock()
				if c.role == nobody && c.led == led {
					c.role, idle = receiver, false
					c.quick.Store(false) // or it would lay the role down at once
				}
				led = c.led
				c.mu.Unlock()
				rest.Reset(restTime)
			}
		}
	}
	c.in.release()
}

// takeAll takes answers until nobody waits for one and the role is laid down. It
// returns false when the connection has ended.
func (c *Client) takeAll() bool {
	for {
		if !c.in.ready() {
			c.mu.Lock()
			if c.err == nil && c.quick.Load() && len(c.tags) == len(c.calls) {
				c.role = nobody
				c.mu.Unlock()
				return true
			}
			c.mu.Unlock()
			runtime.Gosched() // whoever got an answer goes first: it may ask again
		}
		frame, err := c.in.next()
		if err == nil {
			err = c.take(frame)
		}
		if err != nil {
			c.fail(explainServer(err))
			return false
		}
	}
}
