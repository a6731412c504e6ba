// Package flight runs one call for all who want its result at the same time.
//
// It differs from golang.org/x/sync/singleflight in what every caller here needs: a
// caller stops waiting when its own context ends, the call goes on for the others under
// a context of its own, and it is cancelled when the last of them has left. Which call
// may be joined is the owner's to decide, under the owner's lock: one that began too long
// ago is replaced, one whose subject has changed meanwhile is not joined any more. So the
// owner has the map of flights, by whatever key, and this package a single one:
//
//	mu.Lock()
//	f := flights[key]
//	if f == nil || !f.Join() {
//		f = flight.Start(ctx, wg.Go, func(ctx context.Context) (V, error) {
//			v, err := fetch(ctx)
//			mu.Lock()
//			defer mu.Unlock()
//			if flights[key] == f { // f is set: Start was called with mu held
//				delete(flights, key)
//			}
//			return v, err
//		})
//		flights[key] = f
//	}
//	mu.Unlock()
//	if err := f.Wait(ctx); err != nil {
//		return err
//	}
//	return f.Result()
//
// A call that is to go on with nobody waiting is joined once more by its owner, who does
// not leave.
package flight

import (
	"context"
	"sync"
)

// A Flight is a call under way, or its result. Its methods may be called concurrently.
type Flight[V any] struct {
	done   chan struct{} // closed when v and err are set
	v      V
	err    error
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	waiters int // guarded by mu
}

// Start calls fn on a goroutine that run starts, which is the Go method of the owner's
// sync.WaitGroup, for one caller, who must call Wait. The context of fn is derived from
// ctx; when the last caller leaves, it is cancelled with the cause of that caller's own.
func Start[V any](ctx context.Context, run func(func()), fn func(context.Context) (V, error)) *Flight[V] {
	ctx, cancel := context.WithCancelCause(ctx)
	f := &Flight[V]{done: make(chan struct{}), cancel: cancel, waiters: 1}
	run(func() {
		defer cancel(nil)
		defer close(f.done)
		f.v, f.err = fn(ctx)
	})
	return f
}

// Join reports whether the caller may call Wait: a flight that all have left is
// cancelled, and another one must be started.
func (f *Flight[V]) Join() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiters == 0 {
		return false
	}
	f.waiters++
	return true
}

// Wait waits for the result, once for each Start and Join. The error is that of ctx,
// which has ended first: the caller has left the flight.
func (f *Flight[V]) Wait(ctx context.Context) error {
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		f.cancel(context.Cause(ctx))
	}
	return ctx.Err()
}

// Result is what the call returned. It is there when Wait has returned nil.
func (f *Flight[V]) Result() (V, error) { return f.v, f.err }

// Waiting is how many wait, for tests.
func (f *Flight[V]) Waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waiters
}
