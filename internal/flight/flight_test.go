package flight_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aggrfs/aggrfs/internal/flight"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// blocked is a call that ends with its context, or with what is sent.
func blocked(answer <-chan string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		select {
		case text := <-answer:
			return text, nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

func TestAllGetTheResult(t *testing.T) {
	var wg sync.WaitGroup
	answer := make(chan string)
	f := flight.Start(t.Context(), wg.Go, blocked(answer))
	left, leave := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 10 {
		if !f.Join() {
			t.Fatal("not joined")
		}
		callers.Go(func() {
			if err := f.Wait(t.Context()); err != nil {
				t.Error(err)
			}
			if text, err := f.Result(); text != "x" || err != nil {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
	leave()
	if err := f.Wait(left); !errors.Is(err, context.Canceled) { // the first, for whom it was started
		t.Error(err)
	}
	if n := f.Waiting(); n != 10 {
		t.Errorf("%d wait", n)
	}
	answer <- "x"
	callers.Wait()
	wg.Wait()
	if !f.Join() || f.Wait(t.Context()) != nil {
		t.Error("a flight with a result cannot be joined")
	}
}

// The last who leaves ends the call, which learns why, and nobody joins it any more.
func TestLastLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		f := flight.Start(t.Context(), wg.Go, blocked(nil))
		if !f.Join() {
			t.Fatal("not joined")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		synctest.Wait()
		if f.Waiting() != 1 {
			t.Fatal("the call has ended while one waits")
		}
		if err := f.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		wg.Wait()
		if _, err := f.Result(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the cause of the call is %v", err)
		}
		if f.Join() {
			t.Error("a flight that all have left was joined")
		}
	})
}

// The end of the owner's context ends the call for all.
func TestOwnerEnds(t *testing.T) {
	var wg sync.WaitGroup
	ctx, end := context.WithCancel(t.Context())
	f := flight.Start(ctx, wg.Go, blocked(nil))
	end()
	if err := f.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := f.Result(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	wg.Wait()
}
