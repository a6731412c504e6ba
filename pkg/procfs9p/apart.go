package procfs9p

import (
	"context"
	"fmt"
	"runtime/debug"
	"syscall"
	"time"
)

// call is one call made apart; it is used again if it was not left behind.
type call struct {
	done     chan struct{} // gets one value when the call has ended
	timer    *time.Timer
	finished bool // guarded by guard.mu
	left     bool // guarded by guard.mu
}

func (g *guard) newCall() *call {
	c, ok := g.calls.Get().(*call)
	if !ok {
		return &call{done: make(chan struct{}, 1), timer: time.NewTimer(g.timeout)}
	}
	c.finished = false
	c.timer.Reset(g.timeout)
	return c
}

// end counts a call as ended. Behind it the call belongs to who waits for it.
func (g *guard) end(c *call, key uint64) {
	g.mu.Lock()
	if c.finished = true; c.left {
		g.unmarkLocked(key)
	}
	g.leaveLocked()
	g.mu.Unlock()
	c.done <- struct{}{}
}

// leaveBehind gives up on a call, unless it has just ended.
func (g *guard) leaveBehind(c *call, key uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !c.finished {
		c.left = true
		g.markLocked(key)
	}
}

// inPlace runs f on the caller's goroutine: for what cannot block.
func inPlace[T any](ctx context.Context, g *guard, f func() (T, error)) (value T, err error) {
	if err = ctx.Err(); err != nil {
		return value, err
	}
	if err = g.enter(); err != nil {
		return value, err
	}
	defer g.leave()
	return f()
}

// apart runs f on a goroutine of its own and waits for it no longer than ctx
// and the guard's timeout allow. f must clean up after itself: where it is left
// behind its result is dropped.
func apart[T any](ctx context.Context, g *guard, key uint64, f func() (T, error)) (value T, err error) {
	if err = ctx.Err(); err != nil {
		return value, err
	}
	if err = g.enter(); err != nil {
		return value, err
	}
	c := g.newCall()
	o := new(outcome[T]) // not looked at when the call is left behind
	go func() {
		defer g.end(c, key)
		defer func() {
			if r := recover(); r != nil {
				o.err = fmt.Errorf("%w: %v\n%s", syscall.EIO, r, debug.Stack())
			}
		}()
		o.value, o.err = f()
	}()
	select {
	case <-c.done:
		c.timer.Stop()
		g.calls.Put(c)
		return o.value, o.err
	case <-c.timer.C:
		err = syscall.ETIMEDOUT
	case <-ctx.Done():
		c.timer.Stop()
		err = ctx.Err()
	}
	g.leaveBehind(c, key)
	return value, err
}

// outcome is what a call came to.
type outcome[T any] struct {
	value T
	err   error
}
