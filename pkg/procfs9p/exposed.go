package procfs9p

import (
	"context"
	"fmt"
	"runtime/debug"
	"syscall"
	"time"
)

// A leaver is a context whose request can go on without the call that it is in,
// as the contexts of package ninep are: what may block then needs no goroutine of
// its own. Expose begins such a call, if the context allows it; Cover ends it,
// and reports whether the request still waits for it. If the context ends before
// that, or on Leave, the request fails and left is called, from anywhere.
type leaver interface {
	context.Context
	Expose(left func()) bool
	Cover() bool
	Leave(err error)
}

// An exposure is a call made where its request is.
type exposure struct {
	g      *guard
	ctx    leaver
	key    uint64
	since  time.Time
	stuck  bool   // guarded by guard.mu: it was left behind
	onLeft func() // left, made once
}

// left counts the call as left behind. It has not ended: Cover would have come
// first.
func (e *exposure) left() {
	e.g.mu.Lock()
	defer e.g.mu.Unlock()
	if _, on := e.g.exposed[e]; on {
		e.stuck = true
		e.g.markLocked(e.key)
	}
}

// expose counts a call in. Each is followed by one cover.
func (g *guard) expose(ctx leaver, key uint64) (*exposure, error) {
	e, ok := g.exposures.Get().(*exposure)
	if !ok {
		e = &exposure{g: g}
		e.onLeft = e.left
	}
	e.ctx, e.key, e.stuck, e.since = ctx, key, false, time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, syscall.ESHUTDOWN
	}
	g.running++
	g.exposed[e] = struct{}{}
	g.watchLocked(g.timeout)
	return e, nil
}

// cover counts it out. One that was left is not used again: left may be on its
// way to it.
func (g *guard) cover(e *exposure, wasLeft bool) {
	g.mu.Lock()
	delete(g.exposed, e)
	if e.stuck {
		g.unmarkLocked(e.key)
	}
	g.leaveLocked()
	g.mu.Unlock()
	if !wasLeft {
		e.ctx = nil
		g.exposures.Put(e)
	}
}

// watchLocked makes lookAround come after d, if it is not to come sooner.
func (g *guard) watchLocked(d time.Duration) {
	if g.watching {
		return
	}
	g.watching = true
	if g.watch == nil {
		g.watch = time.AfterFunc(d, g.lookAround)
	} else {
		g.watch.Reset(d)
	}
}

// endWatch is for a guard that is closed and has no calls.
func (g *guard) endWatch() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.watch != nil {
		g.watch.Stop()
	}
}

// lookAround leaves the calls behind that have had their time, and comes again
// when the next will have.
func (g *guard) lookAround() {
	var late []leaver
	next := time.Duration(-1)
	g.mu.Lock()
	g.watching = false
	for e := range g.exposed {
		if e.stuck {
			continue
		}
		rest := g.timeout - time.Since(e.since)
		if rest <= 0 {
			late = append(late, e.ctx)
		} else if next < 0 || rest < next {
			next = rest
		}
	}
	if next >= 0 {
		g.watchLocked(next)
	}
	g.mu.Unlock()
	for _, ctx := range late {
		ctx.Leave(syscall.ETIMEDOUT)
	}
}

// inView runs f on the caller's goroutine, for what may block: ctx's request can
// go on without it. f must clean up after itself.
func inView[T any](ctx leaver, g *guard, key uint64, f func() (T, error)) (value T, err error) {
	if err = ctx.Err(); err != nil {
		return value, err
	}
	e, err := g.expose(ctx, key)
	if err != nil {
		return value, err
	}
	if !ctx.Expose(e.onLeft) {
		g.cover(e, false)
		return apart(ctx, g, key, f)
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v\n%s", syscall.EIO, r, debug.Stack())
		}
		left := !ctx.Cover()
		g.cover(e, left)
		if left {
			err = syscall.ETIMEDOUT // nobody is there to be told
		}
	}()
	return f()
}
