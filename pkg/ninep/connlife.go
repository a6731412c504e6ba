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
	for num, f := range c.fids {
		delete(c.fids, num)
		if open, pinned := f.take(); open != nil {
			c.unpin(pinned)
			c.close(open)
		}
	}
}

// endIdle ends a connection that has been without a request for long and holds
// no fid, or comes again.
func (c *conn) endIdle() {
	idle := c.srv.cfg.Limits.Idle
	c.mu.Lock()
	unused := len(c.fids) == 0 && c.inflight == 0
	c.mu.Unlock()
	if !c.busy.Swap(false) && unused {
		c.fail(fmt.Errorf("%w for %v", errIdle, idle))
		return
	}
	c.idler.set(idle)
}

var errIdle = errors.New("it holds no fid and has asked nothing")

// close closes an open file or directory. What it says concerns no client.
func (c *conn) close(open closer) {
	defer c.rescue(nil)
	if err := open.Close(); err != nil {
		c.log.Debug("closing what a 9P client had open", "peer", c.peer.String(), "error", err)
	}
}

// isHangUp tells whether err is no more than a client that went away or fell
// asleep, or the end of the server.
func isHangUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, errIdle) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
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
