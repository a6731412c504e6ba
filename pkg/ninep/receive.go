package ninep

import (
	"encoding/binary"
	"fmt"
	"syscall"
)

// take gives an answer to the call that waits for it. An error ends the
// connection.
//
// The call leaves the table before the answer is decoded into it, so that nobody
// else settles it meanwhile.
func (c *Client) take(frame []byte) error {
	typ, tag := frame[4], binary.LittleEndian.Uint16(frame[5:])
	c.mu.Lock()
	var k *call
	if int(tag) < len(c.calls) {
		k = c.calls[tag]
		c.calls[tag] = nil
	}
	c.mu.Unlock()
	if k == nil {
		return fmt.Errorf("an answer of type %d to tag %d, which has no request", typ, tag)
	}
	broken := c.decode(k, frame)
	if broken != nil {
		broken = fmt.Errorf("an answer of type %d to a request of type %d: %w", typ, k.typ, broken)
		k.err = &ConnError{Peer: c.peer, Err: broken}
	}
	c.mu.Lock()
	c.settleLocked(k)
	c.mu.Unlock()
	return broken
}

// decode gives k what the frame says.
func (c *Client) decode(k *call, frame []byte) error {
	typ, e := frame[4], cursor{b: frame[headerSize:]}
	switch {
	case !c.plain && typ == k.typ+1:
		return k.decode(frame)
	case c.plain && typ == plainType(k.typ)+1:
		return k.decodePlain(frame, c.cfg.Owners)
	case !c.plain && typ == tLerror+1:
		k.err = errRemote(e.u32())
		return e.end()
	case c.plain && typ == tError+1:
		k.err = errnoOf(e.str(maxUname))
		return e.end()
	}
	return errWrongType
}

// settleLocked ends a call: its answer is there, or will not come. Its exchange
// may be used for something else as soon as the lock is released.
func (c *Client) settleLocked(k *call) {
	k.settled = true
	c.freeTagLocked(k)
	if k.old != nil {
		c.flushedLocked(k.old)
	}
	ex := k.ex
	if ex == nil { // a clunk that nobody waits for
		c.clunks--
		c.fids = append(c.fids, k.fid)
		return
	}
	if ex.left--; ex.left == 0 {
		ex.ready <- struct{}{}
	}
}

// flushedLocked notes the Rflush of k, or the end of the connection.
func (c *Client) flushedLocked(k *call) {
	k.flushing = false
	switch {
	case k.settled:
		c.freeTagLocked(k)
	case int(k.tag) < len(c.calls) && c.calls[k.tag] == k:
		c.calls[k.tag] = nil
		k.err = syscall.EINTR
		c.settleLocked(k)
	}
}

// freeTagLocked frees the tag of a settled call, unless a Tflush that names it
// is on its way (flush(5)).
func (c *Client) freeTagLocked(k *call) {
	if k.settled && !k.flushing && c.err == nil {
		c.tags = append(c.tags, k.tag)
	}
}

// newFid is a fid that is not in use.
func (c *Client) newFid() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.fids); n > 0 {
		fid := c.fids[n-1]
		c.fids = c.fids[:n-1]
		return fid
	}
	c.nextFid++
	return c.nextFid - 1
}

// freeFid makes a fid that the server does not have free again.
func (c *Client) freeFid(fid uint32) {
	if fid == noFID {
		return
	}
	c.mu.Lock()
	c.fids = append(c.fids, fid)
	c.mu.Unlock()
}

// How many clunks that nobody waits for may be under way, and how many go along
// with one exchange.
const (
	maxClunks     = 1 << 14
	clunksAtATime = 64
)

// discard clunks a fid without waiting for the answer.
func (c *Client) discard(fid uint32) {
	c.mu.Lock()
	c.garbage = append(c.garbage, fid)
	calls := c.garbageLocked()
	c.mu.Unlock()
	if len(calls) > 0 {
		c.transmit(calls)
	}
}

// discardLater clunks a fid along with the next exchange. It never blocks.
func (c *Client) discardLater(fid uint32) {
	c.mu.Lock()
	if c.err == nil {
		c.garbage = append(c.garbage, fid)
	}
	c.mu.Unlock()
}

// garbageLocked turns fids to be clunked into calls.
func (c *Client) garbageLocked() []*call {
	if c.err != nil {
		c.garbage = nil
	}
	n := min(len(c.garbage), clunksAtATime, maxClunks-c.clunks)
	if n <= 0 {
		return nil
	}
	rest := len(c.garbage) - n
	calls := make([]*call, n)
	for i, fid := range c.garbage[rest:] {
		calls[i] = &call{typ: tClunk, fid: fid}
		c.tagLocked(calls[i])
	}
	c.garbage = c.garbage[:rest]
	c.clunks += n
	return calls
}
