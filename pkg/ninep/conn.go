package ninep

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A conn is one client's connection to a server.
//
// One goroutine, the reader, reads frames, decodes them and answers at once
// what needs no tree: reads of content in memory, clunks, flushes, copies of a
// fid. All else may block and runs in goroutines of its own, one for each queue
// of jobs (see job); a queue that is the only one is carried out by the reader,
// whom another relieves if that takes long (see post). Answers gather in the
// outbox.
//
// Lock order: out's lock, then mu. Neither is held while the tree is called.
//
// The end: whoever finds a reason calls fail, which closes the connection; that
// ends the reader, which cancels all jobs, waits for them and releases the fids.
type conn struct {
	srv     *Server
	nc      net.Conn
	peer    Peer
	log     *slog.Logger
	in      *frameReader
	out     outbox
	spare   *job // the reader's, to decode into
	mine    *job // the reader's, to carry out itself
	post    post
	over    func(error) // called at the end
	place   *arrival    // its place, see door
	payer   *account    // the peer's
	memo    *attachMemo // of a peer that is trusted
	dialect dialect
	msize   uint32

	openBytes atomic.Int64                 // what open files and directories hold in memory
	busy      atomic.Bool                  // there were requests since the idler rang
	attached  atomic.Bool                  // somebody has attached
	proven    atomic.Pointer[vfs.Identity] // see Claim.Proven
	viewed    atomic.Bool                  // and to a tree with something in it
	rest      time.Duration                // since the last request, see endIdle
	rang      time.Duration                // what the idler was last set to by that
	bigReads  chan struct{}                // holds one for each read that needs much memory
	workers   sync.WaitGroup
	sweeper   alarm // for deadlines
	lingerer  alarm // for answers that waited long enough to be sent
	idler     alarm // for a connection that is not used

	mu       sync.Mutex
	room     sync.Cond // a job ended
	tags     map[uint16]*job
	fids     map[uint32]*fid
	inflight int   // jobs that have not ended
	queued   int   // bytes that they have to write
	flushes  int   // Tflush that wait for them
	cause    error // the first reason to end
}

// helloMsize is the longest frame before the first Tversion, in bytes.
const helloMsize = 8192

func (s *Server) newConn(nc net.Conn, peer Peer, place *arrival, payer *account) *conn {
	c := &conn{
		srv: s, nc: nc, peer: peer, log: s.cfg.Log, place: place, payer: payer,
		in:   newFrameReader(nc, &spare, helloMsize),
		tags: make(map[uint16]*job),
		fids: make(map[uint32]*fid),
	}
	if s.cfg.Trusted(peer) {
		c.memo = new(attachMemo)
	}
	c.bigReads = make(chan struct{}, maxBigReads)
	c.room.L = &c.mu
	c.out.init(nc, &spare, s.cfg.Limits.Write, c.fail)
	c.out.limit, c.out.payer = pendingBytes, payer
	c.sweeper.ring = c.sweep
	c.lingerer.ring = c.lookAround
	c.idler.ring = c.endIdle
	c.in.pollers, c.in.payer = &s.pollers, payer
	return c
}

// handle answers one frame or queues it. An error ends the connection.
func (c *conn) handle(frame []byte) error {
	if !c.busy.Load() {
		c.busy.Store(true)
	}
	j := c.spare
	if j == nil {
		j = c.newJob()
		c.spare = j
	}
	if c.dialect == nil {
		if err := decodeVersion(frame, &j.req); err != nil {
			return err
		}
		return c.version(&j.req)
	}
	if err := c.dialect.decode(frame, &j.req); err != nil {
		return fmt.Errorf("message of type %d: %w", frame[4], err)
	}
	if j.req.op == opVersion {
		return c.version(&j.req)
	}
	return c.dispatch(j)
}

// dispatch answers j at once or queues it.
func (c *conn) dispatch(j *job) error {
	c.mu.Lock()
	if len(c.tags) > 0 && c.tags[j.req.tag] != nil {
		c.mu.Unlock()
		return fmt.Errorf("tag %d is used twice", j.req.tag)
	}
	done, err := c.atOnceLocked(j)
	if done {
		return err
	}
	if c.fullLocked() {
		c.startMineLocked()
		c.mu.Unlock()
		c.out.flush()
		c.mu.Lock()
		for c.fullLocked() {
			c.room.Wait()
		}
	}
	if len(j.req.data) > 0 { // the frame will not wait
		j.scratch = append(j.scratch[:0], j.req.data...)
		j.req.data = j.scratch
	}
	ready, err := c.submitLocked(j)
	if err == nil {
		c.spare = nil
		switch {
		case ready && c.mine == nil:
			c.mine = j
		case ready:
			c.startLocked(j)
		}
	}
	c.mu.Unlock()
	if err != nil {
		c.refuse(j, err)
		j.settle()
	}
	return nil
}

// fullLocked reports whether the client has as much in flight as it may.
func (c *conn) fullLocked() bool {
	return c.cause == nil && c.inflight > 0 &&
		(c.inflight >= c.srv.cfg.Limits.Requests || c.queued >= pendingBytes)
}

// version begins a session: all that was is aborted (version(5)).
func (c *conn) version(r *request) error {
	c.abort()
	msize, version := min(r.msize, c.srv.cfg.Limits.Msize), "unknown"
	c.dialect = c.srv.dialectOf(r.version)
	if c.dialect == nil || msize < MinMsize {
		c.dialect = nil
		c.in.max = helloMsize
	} else {
		version = c.dialect.name()
		c.msize, c.in.max = msize, msize
		if err := c.nc.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		c.idler.set(c.restTime())
	}
	c.out.lock()
	c.out.buf = appendVersion(c.out.buf, r.tag, msize, version)
	c.out.unlock()
	return nil
}

// abort ends all jobs without an answer and releases all fids.
func (c *conn) abort() {
	c.mu.Lock()
	c.startMineLocked()
	for tag, j := range c.tags {
		j.answered = true
		delete(c.tags, tag)
		if f := c.cancelLocked(j, context.Canceled); f != nil {
			c.mu.Unlock()
			f()
			c.mu.Lock()
		}
	}
	for c.inflight > 0 {
		c.room.Wait()
	}
	c.mu.Unlock()
	c.releaseAll()
}
