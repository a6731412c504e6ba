package ninep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// How a connection begins and ends, see conn.

// begin starts the connection's first reader, and returns. The first Tversion must
// come by then. over is called with why the connection ended, when all its work
// has.
func (c *conn) begin(by time.Time, over func(error)) {
	c.over = over
	if err := c.nc.SetReadDeadline(by); err != nil {
		c.fail(err) // which the reader finds
	}
	c.callReader()
}

// end ends the connection because of err. The last reader calls it.
func (c *conn) end(err error) {
	c.fail(err)
	c.in.release()
	c.mu.Lock()
	c.startMineLocked()
	c.mu.Unlock()
	c.cancelAll()
	c.workers.Wait()
	c.sweeper.stop()
	c.lingerer.stop()
	c.idler.stop()
	c.post.readers.Wait()
	c.out.stop()
	c.releaseAll()
	c.over(c.cause)
}

// fail notes why the connection ends and ends it.
func (c *conn) fail(err error) {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = err
	}
	c.room.Broadcast()
	c.mu.Unlock()
	c.nc.Close()
	c.out.fail(err)
}

// cancelAll makes all jobs end.
func (c *conn) cancelAll() {
	c.mu.Lock()
	var cancels []func()
	for _, j := range c.tags {
		if f := c.cancelLocked(j, context.Canceled); f != nil {
			cancels = append(cancels, f)
		}
	}
	c.mu.Unlock()
	for _, f := range cancels {
		f()
	}
}

// releaseAll releases all fids. No job is left.
func (c *conn) releaseAll() {
	c.mu.Lock()
	fids := c.fids
	c.fids = make(map[uint32]*fid)
	c.mu.Unlock()
	for _, f := range fids {
		open, counted := f.take()
		c.release(counted)
		if open != nil {
			c.close(open)
		}
	}
}

// restParts is in how many parts the rest of a connection is measured that has nothing
// to see: it ends within one of them after Limits.Vacant.
const restParts = 4

// restTime is when the idler rings next.
func (c *conn) restTime() time.Duration {
	limits := &c.srv.cfg.Limits
	if c.viewed.Load() {
		return limits.Idle
	}
	return min(limits.Vacant/restParts, limits.Idle)
}

// endIdle ends a connection that has been without a request for long and holds
// no fid, or never had anything to see; or it comes again. c.rest is how long it has been
// without one, at least: a part in which there was one, be it under way, is none of it.
func (c *conn) endIdle() {
	limits := &c.srv.cfg.Limits
	viewed := c.viewed.Load()
	c.mu.Lock()
	unused := len(c.fids) == 0
	if c.busy.Swap(false) || c.inflight > 0 {
		c.rest = 0
	} else {
		c.rest += c.rang
	}
	tooLong := c.rest >= limits.Vacant
	if tooLong && !viewed {
		viewed = c.seesLocked()
		c.viewed.Store(viewed)
	}
	rest := c.rest
	c.mu.Unlock()
	switch {
	case unused && rest >= limits.Idle:
		c.fail(fmt.Errorf("%w for %v", errIdle, limits.Idle))
		return
	case tooLong && !viewed:
		c.fail(fmt.Errorf("%w for %v", errVacant, limits.Vacant))
		return
	}
	c.rang = c.restTime()
	c.idler.set(c.rang)
}

// seesLocked reports whether a fid stands in a tree that has something in it. No job
// is left, so that nobody moves a fid meanwhile.
func (c *conn) seesLocked() bool {
	for _, f := range c.fids {
		if f.at != nil && !isVacant(f.at.top().node) {
			return true
		}
	}
	return false
}

// isVacant reports whether a root has nothing below it.
func isVacant(root vfs.Node) bool {
	v, ok := root.(vfs.Vacant)
	_, auth := root.(authFile)
	return auth || ok && v.Vacant()
}

var (
	errIdle   = errors.New("it holds no fid and has asked nothing")
	errVacant = errors.New("it has nothing to see and has asked nothing")
)

// close closes an open file or directory. What it says concerns no client.
func (c *conn) close(open closer) {
	defer c.rescue(nil)
	if err := open.Close(); err != nil {
		c.log.Debug("closing what a 9P client had open", "peer", c.peer.String(), "error", err)
	}
}

// isHangUp reports whether err is no more than a client that went away or fell
// asleep, or the end of the server.
func isHangUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, errIdle) || errors.Is(err, errVacant) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// explain says what a bare error of the connection means.
func explain(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the client does not negotiate or does not read its answers: %w", err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the connection ended inside a frame: %w", err)
	}
	return err
}
