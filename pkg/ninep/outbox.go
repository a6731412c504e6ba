package ninep

import (
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// flushBytes is how much may gather before it is written although more is
// about to be added.
const flushBytes = 64 << 10

// An outbox gathers the frames to be written to one connection, so that what
// is ready together leaves in one write(2). Whoever adds a frame calls flush
// afterwards, at once or when it has added all it has; one of those who call
// flush writes for all. Nobody holds the lock while writing.
//
// flush never waits for the other side: what the socket does not take at once is
// written by a goroutine of the outbox. If that takes longer than the timeout
// the connection has failed, and frames are dropped from then on.
type outbox struct {
	conn    net.Conn
	pool    *buffers
	timeout time.Duration
	failed  func(error) // told of the first failure, without the lock
	limit   int         // bytes that may wait before lock does; 0 is any
	payer   *account    // counts what waits; nil is nobody

	raw      syscall.RawConn // nil where the connection is not a socket
	rawWrite func(fd uintptr) bool
	out      []byte // what rawWrite writes; n and err what it returns
	n        int
	rawErr   error

	mu      sync.Mutex
	room    sync.Cond // for less than limit
	buf     []byte    // frames to write
	lent    *buffer   // what buf began in
	owed    int64     // bytes that the payer has counted for buf
	owedOut int64     // and for what is being written
	writing bool
	err     error
	drains  sync.WaitGroup
}

func (o *outbox) init(conn net.Conn, pool *buffers, timeout time.Duration, failed func(error)) {
	o.conn, o.pool, o.timeout, o.failed = conn, pool, timeout, failed
	o.room.L = &o.mu
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			o.raw, o.rawWrite = raw, o.writeNow
		}
	}
}

// lock begins adding frames to buf. It waits while too much is waiting: of this
// connection, or of all that belong to its payer.
func (o *outbox) lock() {
	o.mu.Lock()
	for o.limit > 0 && o.writing && o.err == nil && (len(o.buf) >= o.limit || o.payer != nil && o.payer.full()) {
		o.room.Wait()
	}
	if o.lent == nil {
		o.lent = o.pool.get(0)
		o.buf = o.lent.b[:0]
	}
	o.reserve(maxFixed)
}

// reserve makes room for frames of n bytes: append would leave a copy of what is there behind.
// The outbox is locked.
func (o *outbox) reserve(n int) {
	need := len(o.buf) + n
	if need <= cap(o.buf) || need > maxBuffer {
		return
	}
	b := o.pool.get(need)
	before := o.buf
	o.buf = append(b.b[:0], before...)
	clear(before)
	o.pool.put(o.lent)
	o.lent = b
}

// owe takes over what j has counted for an answer that is long, and about to be
// added. The outbox is locked.
func (o *outbox) owe(j *job) {
	if n := min(int64(len(j.rep.data)), j.passing); n > maxScratch {
		j.passing -= n
		o.owed += n
	}
}

// countLocked makes sure that what waits is counted, with the n bytes that it is in.
func (o *outbox) countLocked(owed *int64, n int) {
	if more := int64(n) - *owed; more > 0 && o.payer != nil {
		o.payer.passing.Add(more)
		*owed += more
	}
}

// paidLocked gives back what is counted.
func (o *outbox) paidLocked(owed *int64) {
	if *owed > 0 {
		o.payer.passing.Add(-*owed)
		*owed = 0
	}
}

// unlock ends adding frames and reports whether it is time to flush.
func (o *outbox) unlock() (full bool) {
	if o.writing { // and so it may wait
		o.countLocked(&o.owed, cap(o.buf))
	}
	if o.err != nil {
		o.dropLocked()
	}
	full = len(o.buf) >= flushBytes
	o.mu.Unlock()
	return full
}

// flush sends what is there, unless another does already, which then takes
// along what was added until now.
func (o *outbox) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writing {
		return
	}
	for len(o.buf) > 0 && o.err == nil {
		o.writing = true
		out, lent := o.takeLocked()
		o.mu.Unlock()
		n, err := o.try(out)
		o.mu.Lock()
		if n < len(out) && err == nil && o.err == nil {
			clear(out[:n])
			o.countLocked(&o.owedOut, cap(out))
			o.drains.Add(1)
			go o.drain(out[n:], lent) // which is the one writing from here on
			return
		}
		o.wroteLocked(out, lent, err)
	}
	o.dropIdleLocked()
	o.writing = false
}

// drain writes out and then what else is there, waiting for the other side.
func (o *outbox) drain(out []byte, lent *buffer) {
	defer o.drains.Done()
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		o.mu.Unlock()
		err := o.conn.SetWriteDeadline(time.Now().Add(o.timeout))
		if err == nil {
			_, err = o.conn.Write(out)
		}
		o.mu.Lock()
		o.wroteLocked(out, lent, err)
		if len(o.buf) == 0 || o.err != nil {
			break
		}
		out, lent = o.takeLocked()
	}
	if o.err == nil {
		o.err = o.conn.SetWriteDeadline(time.Time{})
	}
	o.dropIdleLocked()
	o.writing = false
}

// try writes what the socket takes at once, which is nothing if the connection
// is no socket.
func (o *outbox) try(out []byte) (int, error) {
	if o.raw == nil {
		return 0, nil
	}
	o.out, o.n, o.rawErr = out, 0, nil
	err := o.raw.Write(o.rawWrite)
	o.out = nil
	if err == nil {
		err = o.rawErr
	}
	return o.n, err
}

// writeNow is one write(2) that does not block.
func (o *outbox) writeNow(fd uintptr) bool {
	for {
		n, err := unix.Write(int(fd), o.out)
		switch err {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
		default:
			o.n, o.rawErr = max(n, 0), err
		}
		return true
	}
}

// takeLocked takes what there is to write.
func (o *outbox) takeLocked() ([]byte, *buffer) {
	out, lent := o.buf, o.lent
	o.buf, o.lent = nil, nil
	o.owed, o.owedOut = 0, o.owed
	return out, lent
}

// wroteLocked notes the end of a write.
func (o *outbox) wroteLocked(out []byte, lent *buffer, err error) {
	clear(out) // what a file says is in no buffer longer than it must
	o.pool.put(lent)
	o.paidLocked(&o.owedOut)
	if err != nil && o.err == nil {
		o.err = err
		o.mu.Unlock()
		o.failed(err)
		o.mu.Lock()
	}
	o.room.Broadcast()
}

// fail makes the outbox drop what it has and what comes.
func (o *outbox) fail(err error) {
	o.mu.Lock()
	if o.err == nil {
		o.err = err
	}
	o.dropLocked()
	o.room.Broadcast()
	o.mu.Unlock()
}

// stop waits for the goroutine that writes, after fail and the connection's
// Close.
func (o *outbox) stop() { o.drains.Wait() }

func (o *outbox) dropLocked() {
	clear(o.buf)
	o.buf = o.buf[:0]
	o.paidLocked(&o.owed)
	o.dropIdleLocked()
}

// dropIdleLocked gives an empty buffer back.
func (o *outbox) dropIdleLocked() {
	if len(o.buf) == 0 {
		o.pool.put(o.lent)
		o.buf, o.lent = nil, nil
	}
}
