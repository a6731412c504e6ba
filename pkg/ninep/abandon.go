package ninep

import (
	"errors"
	"fmt"
	"io"
	"time"
)

var (
	errWrongType = errors.New("not the answer that belongs to it")
	errNoFlush   = errors.New("the server does not answer Tflush")
)

// abandon takes over an exchange whose caller has left: it flushes the calls
// that have no answer, waits until all are settled and releases the fid. Until
// then the exchange keeps its slots, so a server that does not answer gets no
// more than InFlight requests.
func (c *Client) abandon(ex *exchange, slots int64) {
	ex.mu.Lock()
	ex.gone = true
	ex.mu.Unlock()
	c.mu.Lock()
	if c.err != nil { // everything is settled
		c.mu.Unlock()
		<-ex.ready
		ex.recycle()
		c.slots.Release(slots)
		return
	}
	flush := &exchange{c: c, ready: make(chan struct{}, 1)}
	for _, k := range ex.calls {
		// A clunk is carried out: the server does it last, when the calls before
		// it have ended, and its answer says that the fid is free.
		if k.sent && !k.settled && k.typ != tClunk {
			f := &call{ex: flush, typ: tFlush, old: k}
			c.tagLocked(f)
			k.flushing = true
			flush.calls = append(flush.calls, f)
		}
	}
	flush.left = len(flush.calls)
	c.summonLocked()
	c.workers.Add(1)
	c.mu.Unlock()
	go func() {
		defer c.workers.Done()
		c.awaitFlush(ex, flush)
		c.slots.Release(slots)
	}()
}

// awaitFlush sends the flushes and waits for what they do.
func (c *Client) awaitFlush(ex, flush *exchange) {
	c.transmit(flush.calls)
	late := time.NewTimer(c.cfg.Flush)
	defer late.Stop()
	wait := func(e *exchange) {
		select {
		case <-e.ready:
		case <-late.C:
			c.fail(errNoFlush)
			<-e.ready
		}
	}
	if len(flush.calls) > 0 {
		wait(flush)
	}
	wait(ex)
	ex.release()
}

// explainServer says what a bare error of the connection means.
func explainServer(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the connection ended inside a frame: %w", err)
	}
	return err
}
