package device

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A Request is one question of the kernel that waits for its answer, and the
// context under which the tree is asked. It is a context of its own kind
// because there is one for every request and most end at once: no timer, no
// goroutine, and no channel unless somebody waits for it. Contexts derived from
// it cost no goroutine either (AfterFunc).
//
// Exactly one answer is written: by the reader that carries the request out,
// or by the watch when that takes too long; whoever settles it first.
type Request struct {
	unique   uint64
	dir      uint64 // node id of the directory that the kernel keeps locked until the answer; 0: none
	begun    time.Time
	deadline time.Time
	values   context.Context // has the values, nothing else

	settled atomic.Bool // the answer is being written, or has been

	mu    sync.Mutex
	done  chan struct{} // made when first asked for
	err   error         // set once, when the context ends
	after map[*func()]struct{}
}

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// settle reports whether it is the caller who has to answer.
func (r *Request) settle() bool { return !r.settled.Swap(true) }

// end ends the context for that reason; only the first counts.
func (r *Request) end(reason error) {
	r.mu.Lock()
	if r.err != nil {
		r.mu.Unlock()
		return
	}
	r.err = reason
	if r.done != nil {
		close(r.done)
	}
	after := r.after
	r.after = nil
	r.mu.Unlock()
	for f := range after {
		go (*f)()
	}
}

// Deadline implements context.Context.
func (r *Request) Deadline() (time.Time, bool) { return r.deadline, true }

// Done implements context.Context.
func (r *Request) Done() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		if r.err != nil {
			r.done = closedChan
		} else {
			r.done = make(chan struct{})
		}
	}
	return r.done
}

// Err implements context.Context.
func (r *Request) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Value implements context.Context.
func (r *Request) Value(key any) any { return r.values.Value(key) }

// AfterFunc is what package context looks for in a foreign context before it
// starts a goroutine to watch it; see context.AfterFunc.
func (r *Request) AfterFunc(f func()) (stop func() bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		go f()
		return func() bool { return false }
	}
	if r.after == nil {
		r.after = make(map[*func()]struct{})
	}
	key := &f
	r.after[key] = struct{}{}
	return func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		_, waiting := r.after[key]
		delete(r.after, key)
		return waiting
	}
}
