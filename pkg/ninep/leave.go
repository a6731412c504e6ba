package ninep

import "errors"

// A call of the tree may never end: the kernel may be stuck in it. A tree that
// knows such calls can make them on another goroutine and wait for that, but
// to change goroutines twice costs more than the call. So the context of a
// Tlopen lets it make the call where it is and say so, by Expose. If the context
// ends before the call, or the tree calls Leave, the request goes on without it,
// on a goroutine that takes over all that the connection knows of: the request,
// those queued behind it, and the reader's post. What comes back from the call
// learns that from Cover, and touches neither its job nor the connection's state
// any more; the connection may even have ended.
//
// A tree finds these methods by an interface of its own; they are not part of
// the vfs contract. A context derived from this one does not have them.

// errLeft is a request that has gone on without this goroutine.
var errLeft = errors.New("the request has gone on")

// Expose begins a call that may be left behind; left is told if it is. False
// is a context that does not allow it.
func (r *reqCtx) Expose(left func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opens == nil {
		return false
	}
	r.left = left // before the look: who ends the context after it finds whom to tell
	if r.Err() != nil {
		r.left = nil
		return false
	}
	return true
}

// Cover ends what Expose began. False is a call that has been left behind.
func (r *reqCtx) Cover() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = nil
	return !r.gone
}

// Leave lets the request fail with err without the call that Expose began, if
// that has not ended.
func (r *reqCtx) Leave(err error) {
	r.mu.Lock()
	j, left := r.opens, r.left
	if left == nil || j == nil {
		r.mu.Unlock()
		return
	}
	r.opens, r.left, r.gone = nil, nil, true
	r.mu.Unlock()
	left()
	j.c.takeOver(j, err)
}

// allowLeaving lets j be left until forbidLeaving, which reports whether it was.
func (r *reqCtx) allowLeaving(j *job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opens = j
}

func (r *reqCtx) forbidLeaving() (left bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opens, r.left = nil, nil
	return r.gone
}

// takeOver goes on with a job that was left in a call of the tree.
func (c *conn) takeOver(j *job, err error) {
	if j.turn > 0 { // in the hands of a reader, which does not come back
		if c.post.away.CompareAndSwap(j.turn, j.turn+1) {
			c.callReader()
		}
		c.post.readers.Done()
	}
	go c.resume(j, err)
}
