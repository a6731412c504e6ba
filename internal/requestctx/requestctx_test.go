package requestctx

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// Who derives a context from one that ends in that moment holds the lock of the derived one,
// which its end takes.
func TestAfterFuncOfTheEnded(t *testing.T) {
	r := begun(t)
	r.End(context.Canceled)
	var mu sync.Mutex
	called := make(chan struct{})
	mu.Lock()
	stop := r.AfterFunc(func() {
		mu.Lock()
		defer mu.Unlock()
		close(called)
	})
	mu.Unlock()
	<-called
	if stop() {
		t.Error("what was called was kept from being called")
	}
}

// Contexts are derived from requests while those are cancelled, and end with them.
func TestDeriveWhileCancelled(t *testing.T) {
	for range 2000 {
		r := begun(t)
		var both sync.WaitGroup
		both.Go(func() { r.End(context.Canceled) })
		both.Go(func() {
			ctx, cancel := context.WithTimeout(r, time.Hour)
			defer cancel()
			<-ctx.Done()
			if !errors.Is(ctx.Err(), context.Canceled) {
				t.Error(ctx.Err())
			}
		})
		both.Wait()
	}
}

func begun(t *testing.T) *Context {
	c := new(Context)
	c.Init(t.Context(), time.Now().Add(time.Hour))
	return c
}
