package ninep

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A call is one message and its answer.
type call struct {
	ex  *exchange // nil: nobody waits
	typ uint8     // of the message
	tag uint16

	// The message. Which fields count depends on typ.
	fid    uint32
	newfid uint32 // walk; the n_uname of an attach
	names  []string
	uname  string
	aname  string
	flags  uint32
	count  uint32 // the most bytes that the answer may carry
	offset uint64
	data   []byte // to write
	old    *call  // to flush
	into   []byte // where a read goes; nil: to result

	// The answer.
	err     error
	qids    []qid // in walked
	walked  [MaxWalk]qid
	attr    vfs.Attr
	result  []byte
	entries []vfs.DirEntry
	resume  uint64 // the offset behind the last entry
	n       uint32 // bytes read or written
	text    string

	sent     bool
	settled  bool // guarded by Client.mu: answered, flushed or failed
	flushing bool // guarded by Client.mu: the tag is free only after the Rflush
}

// maxCalls is the most calls of one exchange.
const maxCalls = 12

// An exchange is a sequence of calls on one fid that are sent at once and
// waited for together. It belongs to whoever made it until all its calls are
// settled; a caller that does not wait for that gives it to abandon.
type exchange struct {
	c     *Client
	fid   uint32 // the fid that the first call makes and the others use, or noFID
	calls []*call
	store [maxCalls]call
	left  int           // calls not settled; guarded by Client.mu
	ready chan struct{} // takes one value when left becomes 0

	mu   sync.Mutex // held while an answer is copied to its caller's memory
	gone bool       // the caller has left and its memory with it
}

// errSkipped is a call that was not sent because one before it failed.
var errSkipped = errors.New("not sent")

// newExchange is an exchange without a fid of its own.
func (c *Client) newExchange() *exchange {
	ex, ok := c.free.Get().(*exchange)
	if !ok {
		ex = &exchange{c: c, ready: make(chan struct{}, 1)}
		ex.calls = make([]*call, 0, maxCalls)
	}
	ex.fid = noFID
	return ex
}

// recycle keeps a settled exchange for another time.
func (ex *exchange) recycle() {
	for _, k := range ex.calls {
		*k = call{}
	}
	ex.calls, ex.gone = ex.calls[:0], false
	ex.c.free.Put(ex)
}

// add adds a call to the exchange. Paths are bounded (maxDepth), so there is
// always room.
func (ex *exchange) add(k call) *call {
	p := &ex.store[len(ex.calls)]
	*p = k
	p.ex = ex
	ex.calls = append(ex.calls, p)
	return p
}

// do sends the calls and waits until all are settled. After an error, which is
// ctx's or the connection's and not that of a call, the exchange is no longer
// the caller's, and its fid is released.
func (ex *exchange) do(ctx context.Context) error {
	c := ex.c
	n := int64(len(ex.calls))
	err := ctx.Err()
	if err == nil {
		err = c.slots.Acquire(ctx, n)
	}
	if err != nil {
		c.freeFid(ex.fid)
		ex.recycle()
		return err
	}
	if c.cfg.Foreign {
		return ex.oneByOne(ctx, n)
	}
	if err := c.send(ex, ex.calls); err != nil {
		c.slots.Release(n)
		return err
	}
	if err := c.await(ctx, ex); err != nil {
		c.abandon(ex, n)
		return err
	}
	c.slots.Release(n)
	return nil
}

// oneByOne sends each call when the one before it has been answered. After a
// failure only a clunk is sent, and only if there is a fid.
func (ex *exchange) oneByOne(ctx context.Context, slots int64) error {
	failed := false
	for i, k := range ex.calls {
		if k.typ == tClunk && !ex.hasFid(i) || failed && k.typ != tClunk {
			k.err = errSkipped
			continue
		}
		if err := ex.c.send(ex, ex.calls[i:i+1]); err != nil {
			ex.c.slots.Release(slots)
			return err
		}
		if err := ex.c.await(ctx, ex); err != nil {
			ex.c.abandon(ex, slots)
			return err
		}
		failed = failed || k.err != nil || k.typ == tWalk && len(k.qids) < len(k.names)
	}
	ex.c.slots.Release(slots)
	return nil
}

// hasFid reports whether the first n calls, which are settled, have made the
// exchange's fid and not clunked it.
func (ex *exchange) hasFid(n int) bool {
	if n == 0 || ex.fid == noFID {
		return false
	}
	for _, k := range ex.calls[1:n] {
		if k.typ == tClunk && k.sent {
			return false
		}
	}
	switch k := ex.calls[0]; k.typ {
	case tAttach:
		return k.sent && k.err == nil
	case tWalk:
		// Some servers make the fid of a walk that has ended on the way: it is
		// clunked, and an error of that is no harm.
		return k.sent && k.err == nil && (len(k.qids) == len(k.names) || ex.c.cfg.Foreign)
	}
	return false
}

// release lets go of the exchange's fid and ends the exchange, whose calls are
// settled.
func (ex *exchange) release() {
	if ex.hasFid(len(ex.calls)) {
		ex.c.discard(ex.fid)
	} else {
		ex.c.freeFid(ex.fid)
	}
	ex.recycle()
}

// send gives the calls tags and sends them, with the clunks that wait for an
// occasion. After an error the exchange is no longer the caller's.
func (c *Client) send(ex *exchange, calls []*call) error {
	c.mu.Lock()
	if c.err != nil {
		err := c.err
		c.mu.Unlock()
		ex.recycle()
		return err
	}
	for _, k := range calls {
		c.tagLocked(k)
		k.sent = true
	}
	ex.left = len(calls)
	crowd := len(calls) == 1 && len(c.calls)-len(c.tags)-c.clunks > 1
	garbage := c.garbageLocked()
	c.mu.Unlock()
	c.gather(garbage, calls)
	if crowd {
		// Whoever else has got an answer just now may ask again: those questions
		// then leave in one write.
		runtime.Gosched()
	}
	c.out.flush()
	return nil
}

// transmit sends calls.
func (c *Client) transmit(calls []*call) {
	c.gather(nil, calls)
	c.out.flush()
}

// gather adds calls to what is to be sent.
func (c *Client) gather(garbage, calls []*call) {
	c.out.lock()
	for _, k := range garbage {
		c.out.buf = c.appendCall(c.out.buf, k)
	}
	for _, k := range calls {
		c.out.buf = c.appendCall(c.out.buf, k)
	}
	c.out.unlock()
}

// appendCall appends k's message.
func (c *Client) appendCall(b []byte, k *call) []byte {
	if c.plain {
		return appendPlainCall(b, k)
	}
	return appendCall(b, k)
}

// tagLocked gives k a tag, from 0 on.
func (c *Client) tagLocked(k *call) {
	if n := len(c.tags); n > 0 {
		k.tag = c.tags[n-1]
		c.tags = c.tags[:n-1]
	} else {
		k.tag = uint16(len(c.calls))
		c.calls = append(c.calls, nil)
	}
	c.calls[k.tag] = k
}

// errRemote is the error that an Rlerror stands for.
func errRemote(code uint32) error {
	if code == 0 || code > 4095 { // MAX_ERRNO
		return syscall.EIO
	}
	return syscall.Errno(code)
}
