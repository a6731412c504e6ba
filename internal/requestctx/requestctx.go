// Package requestctx is the context of one request, where one is made for nearly every request
// and most end at once: no timer, no goroutine, and no channel unless somebody waits for it.
// Contexts derived from it cost no goroutine either. Whoever makes it ends it, also at its
// deadline, which it only tells.
package requestctx

import (
	"context"
	"sync"
	"time"
)

// A Context is a context.Context. It is part of what a server knows of a request, and not copied
// once it is in use.
type Context struct {
	values   context.Context // has the values, nothing else
	deadline time.Time

	mu    sync.Mutex
	done  chan struct{} // made when first asked for
	err   error         // set once, when the context ends
	after map[*func()]struct{}
}

// Init gives it its values, which are those of a context that never ends, and its deadline.
func (c *Context) Init(values context.Context, deadline time.Time) {
	c.values, c.deadline = values, deadline
}

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// End ends it for that reason. Only the first call counts, and is told so.
func (c *Context) End(reason error) (first bool) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return false
	}
	c.err = reason
	if c.done != nil {
		close(c.done)
	}
	after := c.after
	c.after = nil
	c.mu.Unlock()
	for f := range after {
		go (*f)()
	}
	return true
}

// Deadline implements context.Context.
func (c *Context) Deadline() (time.Time, bool) { return c.deadline, true }

// Done implements context.Context.
func (c *Context) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		if c.err != nil {
			c.done = closed
		} else {
			c.done = make(chan struct{})
		}
	}
	return c.done
}

// Err implements context.Context.
func (c *Context) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Value implements context.Context.
func (c *Context) Value(key any) any { return c.values.Value(key) }

// AfterFunc is what package context looks for in a foreign context before it starts a goroutine
// to watch it; see context.AfterFunc. f is never called by the caller of AfterFunc, who may hold
// what f waits for: package context does.
func (c *Context) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[*func()]struct{})
	}
	key := &f
	c.after[key] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waiting := c.after[key]
		delete(c.after, key)
		return waiting
	}
}
