package ninep

import (
	"context"
	"log/slog"
	"syscall"
	"time"
)

// grace is how long a request may go on after its deadline before the client
// is answered ETIMEDOUT over its head: some clients cannot be killed while they
// wait.
const grace = 2 * time.Second

// linger is how long an answer may wait for those of the requests queued behind
// it on the same fid, to leave with them in one write; and how long the reader
// may be away on a request before it is looked for, see post.
const linger = time.Millisecond

// submit queues j on its fids. It returns an error for a request that can be
// refused at once, else whether j can run now. The reader calls it, with c.mu
// held.
func (c *conn) submitLocked(j *job) (ready bool, err error) {
	r := &j.req
	if !j.releases() {
		if err := c.begun(j); err != nil {
			return false, err
		}
	}
	switch {
	case r.op == opAttach, r.op == opAuth:
		if j.own, err = c.makeFidLocked(r.fid); err != nil {
			return false, err
		}
	case r.op == opWalk && r.newfid != r.fid:
		from := c.fids[r.fid]
		if from == nil {
			return false, syscall.EBADF
		}
		if j.own, err = c.makeFidLocked(r.newfid); err != nil {
			return false, err
		}
		if from.last != nil {
			from.last.walkers = append(from.last.walkers, j)
			j.waits++
		} else {
			j.from = from.at
		}
	default:
		if j.own = c.fids[r.fid]; j.own == nil {
			return false, syscall.EBADF
		}
	}
	if last := j.own.last; last != nil {
		last.next = j
		j.waits++
	}
	j.own.last = j
	c.tags[r.tag] = j
	c.inflight++
	c.queued += len(r.data)
	j.deadline = time.Now().Add(c.srv.cfg.RequestTimeout)
	c.sweeper.set(c.srv.cfg.RequestTimeout)
	return j.waits == 0, nil
}

// makeFidLocked is the table's entry for a fid that a request wants to make.
func (c *conn) makeFidLocked(num uint32) (*fid, error) {
	if num == noFID {
		return nil, syscall.EBADF
	}
	if f := c.fids[num]; f != nil {
		if f.last == nil {
			return nil, errFidInUse
		}
		return f, nil
	}
	most := c.srv.cfg.Limits.Fids
	if !c.attached.Load() {
		most = min(most, strangerFids)
	}
	if len(c.fids) >= most {
		return nil, syscall.EMFILE
	}
	f := &fid{num: num}
	c.fids[num] = f
	return f, nil
}

// work runs j and then what was queued behind it, and sends the answers; turn
// is that of the reader, if it is the one. False is a job that was left in the
// hands of another.
func (c *conn) work(j *job, turn uint64) bool {
	for j != nil {
		j.turn = turn
		err := c.execute(j)
		if err == errLeft {
			return false
		}
		if j = c.finish(j, err); j != nil {
			c.lingerer.set(linger)
		}
	}
	c.post.active.Add(-1)
	c.out.flush()
	c.workers.Done()
	return true
}

// resume goes on with the work behind a job that failed with err when it was
// left.
func (c *conn) resume(j *job, err error) {
	c.work(c.finish(j, err), 0)
}

// finish answers j and ends it. It returns the job that was queued behind it
// and can now run.
//
// The answer is added to the outbox and the tag is freed while the outbox is
// locked: so a client that has the answer can use the tag again, and a Tflush
// that finds the tag free is answered behind it. Lock order: outbox, conn.
func (c *conn) finish(j *job, err error) (next *job) {
	c.out.lock()
	c.mu.Lock()
	late := j.answered
	var undo closer
	if late {
		undo = c.undoLocked(j)
	} else {
		j.answered = true
		delete(c.tags, j.req.tag)
	}
	next = c.advanceLocked(j)
	c.mu.Unlock()
	if !late {
		c.answer(j, err)
	}
	full := c.out.unlock()
	if undo != nil {
		c.close(undo)
	}
	if full {
		c.out.flush()
	}
	queued, flushes := len(j.req.data), len(j.flushes)
	c.recycle(j)
	c.ended(queued, flushes)
	return next
}

// flushSize is how long the answer to a Tflush is, in bytes.
const flushSize = 7

// answer adds the answer to j, and those to the Tflush that waited for it.
// The outbox is locked.
func (c *conn) answer(j *job, err error) {
	c.out.reserve(len(j.rep.data) + maxFixed + len(j.flushes)*flushSize)
	if err != nil {
		c.out.buf = c.dialect.appendError(c.out.buf, j.req.tag, err)
	} else {
		c.out.owe(j)
		c.out.buf = c.dialect.appendReply(c.out.buf, &j.req, &j.rep)
	}
	for _, tag := range j.flushes {
		c.out.buf = c.dialect.appendReply(c.out.buf, &request{op: opFlush, tag: tag}, nil)
	}
}

// advanceLocked takes j, which has ended, off its queue: those who wait for it
// go on. The one queued behind it is returned if it can run, the others that can
// are started.
func (c *conn) advanceLocked(j *job) (next *job) {
	f := j.own
	for _, w := range j.walkers {
		w.from = f.at
		if w.waits--; w.waits == 0 {
			c.startLocked(w)
		}
	}
	if f.last == j {
		f.last = nil
		if f.at == nil {
			delete(c.fids, f.num)
		}
		return nil
	}
	if j.next.waits--; j.next.waits == 0 {
		return j.next
	}
	return nil
}

// startLocked runs j in a goroutine of its own, which the connection waits for
// before it ends.
func (c *conn) startLocked(j *job) {
	c.workers.Add(1)
	c.post.active.Add(1)
	go j.run()
}

// undoLocked takes back what j did for a client that was told that it failed.
func (c *conn) undoLocked(j *job) (undo closer) {
	switch j.req.op {
	case opAttach, opAuth, opWalk, opOpen:
		f := j.own
		at, counted := f.at, hold{}
		undo, counted = f.take()
		c.release(counted)
		switch {
		case j.req.op == opOpen:
			f.standAgain(at)
		case j.req.op == opWalk && j.req.fid == j.req.newfid:
			f.standAgain(j.from)
		}
	}
	return undo
}

// ended counts a job out, with the bytes it had to write and the Tflush that have
// waited for it, and wakes the reader if it waits for that.
func (c *conn) ended(queued, flushes int) {
	c.mu.Lock()
	c.inflight--
	c.queued -= queued
	c.flushes -= flushes
	c.room.Broadcast()
	c.mu.Unlock()
}

// cancelLocked makes j end early: at once if it runs, else when its turn comes.
// The function returned must be called without the lock.
func (c *conn) cancelLocked(j *job, err error) func() {
	if j.cancelled != nil {
		return nil
	}
	j.cancelled = err
	if ctx := j.ctx; ctx != nil {
		return func() { ctx.cancel(err) }
	}
	return nil
}

// sweep ends the requests whose deadline has come, and answers those that do
// not end.
func (c *conn) sweep() {
	var cancels []func()
	now := time.Now()
	wait := time.Duration(-1)
	c.out.lock()
	c.mu.Lock()
	for tag, j := range c.tags {
		left := j.deadline.Sub(now)
		if left <= 0 {
			if f := c.cancelLocked(j, context.DeadlineExceeded); f != nil {
				cancels = append(cancels, f)
			}
			left += grace
		}
		if left <= 0 {
			j.answered = true
			delete(c.tags, tag)
			c.answer(j, syscall.ETIMEDOUT)
			c.srv.audit.warn(c.peer, c.payer, "9P request does not end", slog.Int("op", int(j.req.op)))
			continue
		}
		if wait < 0 || left < wait {
			wait = left
		}
	}
	c.mu.Unlock()
	c.out.unlock()
	for _, f := range cancels {
		f()
	}
	c.out.flush()
	if wait >= 0 {
		c.sweeper.set(wait)
	}
}
