package ninep

import (
	"context"
	"fmt"
	"syscall"
)

// atOnceLocked answers what needs no tree and cannot block, if the fid's turn
// has come: nothing is queued on it, so its state is the reader's. It is called
// with c.mu held, and releases it if it answered. An error ends the connection.
func (c *conn) atOnceLocked(j *job) (done bool, err error) {
	r := &j.req
	switch r.op {
	case opRead:
		f := c.fids[r.fid]
		if f == nil || f.last != nil || !f.held {
			return false, nil
		}
		c.mu.Unlock()
		j.rep.data = c.slice(f, r)
		if n := len(j.rep.data); n > maxScratch {
			if err := c.charge(j, int64(n)); err != nil {
				c.refuse(j, err)
				return true, nil
			}
		}
	case opClunk:
		f := c.fids[r.fid]
		if f == nil || f.last != nil || !f.quickClose() {
			return false, nil
		}
		delete(c.fids, r.fid)
		c.mu.Unlock()
		if f.file != nil {
			c.close(f.file)
		}
		c.release(f.hold)
	case opFlush:
		if c.flushes >= maxTags { // each with a tag that waits for its answer
			c.mu.Unlock()
			return true, fmt.Errorf("more than %d Tflush wait, so that their tags are used twice", maxTags)
		}
		if c.flushLocked(r) {
			return true, nil
		}
	case opWalk:
		if !c.cloneLocked(r) {
			return false, nil
		}
		c.mu.Unlock()
		j.rep.qids = nil
	case opFsync, opLock, opGetlock:
		known := c.fids[r.fid] != nil
		c.mu.Unlock()
		if !known {
			c.refuse(j, syscall.EBADF)
			return true, nil
		}
	case opAuth:
		if c.srv.cfg.Auth {
			return false, nil
		}
		c.mu.Unlock()
		c.refuse(j, errNoAuth)
		return true, nil
	case opXattr, opUnknown:
		c.mu.Unlock()
		c.refuse(j, syscall.EOPNOTSUPP)
		return true, nil
	case opChange:
		c.mu.Unlock()
		c.refuse(j, syscall.EROFS)
		return true, nil
	case opNever:
		c.mu.Unlock()
		return true, errMalformed
	default:
		return false, nil
	}
	c.out.lock()
	c.out.reserve(len(j.rep.data) + maxFixed)
	c.out.owe(j)
	c.out.buf = c.dialect.appendReply(c.out.buf, r, &j.rep)
	if c.out.unlock() {
		c.out.flush()
	}
	j.rep.data = nil
	return true, nil
}

// refuse answers j with an error. The reader calls it, for a request that has
// no tag in the table.
func (c *conn) refuse(j *job, err error) {
	c.out.lock()
	c.out.buf = c.dialect.appendError(c.out.buf, j.req.tag, err)
	if c.out.unlock() {
		c.out.flush()
	}
}

// slice is what a read of held content returns.
func (c *conn) slice(f *fid, r *request) []byte {
	if r.offset >= uint64(len(f.content)) {
		return nil
	}
	rest := f.content[r.offset:]
	return rest[:min(len(rest), int(c.limit(r)))]
}

// limit is how many bytes a read may return.
func (c *conn) limit(r *request) uint32 {
	return min(r.count, c.msize-c.dialect.overhead(r.op))
}

// cloneLocked makes newfid stand where fid does, if it is that simple.
func (c *conn) cloneLocked(r *request) bool {
	if len(r.names) > 0 || r.newfid == r.fid {
		return false
	}
	from := c.fids[r.fid]
	if from == nil || from.last != nil || c.fids[r.newfid] != nil {
		return false
	}
	f, err := c.makeFidLocked(r.newfid)
	if err != nil {
		return false
	}
	if c.stand(f, from.at) != nil {
		delete(c.fids, f.num)
		return false
	}
	return true
}

// flushLocked cancels the job of r.oldtag; the Tflush is answered when that job
// is (flush(5)). It returns false, with c.mu released, where there is none such
// and the Tflush can be answered at once; else true, with c.mu released too.
func (c *conn) flushLocked(r *request) (waits bool) {
	j := c.tags[r.oldtag]
	if j == nil {
		j = c.flushedByLocked(r.oldtag)
	}
	if j == nil {
		c.mu.Unlock()
		return false
	}
	j.flushes = append(j.flushes, r.tag)
	c.flushes++
	cancel := c.cancelLocked(j, context.Canceled)
	c.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	return true
}

// flushedByLocked is the job that a Tflush of that tag waits for: a flush of a
// flush is answered behind it.
func (c *conn) flushedByLocked(tag uint16) *job {
	for _, j := range c.tags {
		for _, t := range j.flushes {
			if t == tag {
				return j
			}
		}
	}
	return nil
}

// rescue, deferred, turns a panic of the tree into EIO and a logged stack.
func (c *conn) rescue(err *error) {
	if p := recover(); p != nil {
		c.srv.logPanic(c.peer, p)
		if err != nil {
			*err = syscall.EIO
		}
	}
}
