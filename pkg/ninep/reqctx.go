package ninep

import (
	"context"
	"sync"
	"time"
)

// A reqCtx is the context of one request. It is a context of its own kind
// because one is made for nearly every request: it costs one allocation, and
// no timer, for the connection's own sweep ends those whose deadline has come.
type reqCtx struct {
	values   context.Context
	deadline time.Time

	mu    sync.Mutex
	done  chan struct{} // made when asked for
	err   error
	after map[*func()]struct{} // what to call at the end

	opens *job   // while it may be left, see Expose
	left  func() // whom to tell, between Expose and Cover
	gone  bool   // it was left
}

var _ context.Context = (*reqCtx)(nil)

// Deadline implements context.Context.
func (r *reqCtx) Deadline() (time.Time, bool) { return r.deadline, true }

// Value implements context.Context.
func (r *reqCtx) Value(key any) any { return r.values.Value(key) }

// Err implements context.Context.
func (r *reqCtx) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Done implements context.Context.
func (r *reqCtx) Done() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		r.done = make(chan struct{})
		if r.err != nil {
			close(r.done)
		}
	}
	return r.done
}

// AfterFunc is what the context package looks for in a parent that is not its
// own: with it a derived context needs no goroutine that watches this one. f
// must not block for long. It is never called by the caller of AfterFunc, who may hold
// what f waits for, as package context does.
func (r *reqCtx) AfterFunc(f func()) (stop func() bool) {
	r.mu.Lock()
	if r.err != nil {
		r.mu.Unlock()
		go f()
		return func() bool { return false }
	}
	if r.after == nil {
		r.after = make(map[*func()]struct{})
	}
	key := &f
	r.after[key] = struct{}{}
	r.mu.Unlock()
	return func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		_, waiting := r.after[key]
		delete(r.after, key)
		return waiting
	}
}

// cancel ends the context; only the first call counts.
func (r *reqCtx) cancel(err error) {
	r.mu.Lock()
	if r.err != nil {
		r.mu.Unlock()
		return
	}
	r.err = err
	if r.done != nil {
		close(r.done)
	}
	after := r.after
	r.after = nil
	r.mu.Unlock()
	for f := range after {
		(*f)()
	}
	r.Leave(err)
}
