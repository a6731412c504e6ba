// Package wait waits in tests for what takes an unknown, short time.
//
// A test that sleeps for as long as something takes on an idle machine fails on a busy one, and
// takes longer than it needs on the other. So a test states the condition; it is tried again and
// again, ever less often, until it holds. The deadline is generous: only a test that fails
// anyway comes near it. What fails it says why the last try did not hold.
//
// In a bubble of testing/synctest the same functions wait by the bubble's clock.
package wait

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// Patience is how long a condition is waited for. It allows for a machine whose processors are
// shared with ten others that want all of them.
const Patience = 2 * time.Minute

// Tries begin this close to each other, and end this far apart.
const (
	shortest = time.Millisecond
	longest  = 50 * time.Millisecond
)

// errFalse is why a condition that tells no more does not hold.
var errFalse = errors.New("it does not hold")

// Until waits until ok returns true, and ends the test if that does not happen. It must be
// called by the goroutine that runs the test.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	For(t, what, Condition(ok))
}

// For waits until try returns no error. Otherwise it ends the test with the last one.
func For(t testing.TB, what string, try func() error) {
	t.Helper()
	if err := Poll(context.Background(), try); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// Poll is For outside of a test: it returns the last error when [Patience] or the context ends.
func Poll(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	for begun, pause := time.Now(), shortest; ; pause = min(pause*5/4, longest) {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", time.Since(begun).Round(time.Millisecond), err)
		case <-time.After(pause):
		}
	}
}

// Condition is a try with no more to say than that it failed.
func Condition(ok func() bool) func() error {
	return func() error {
		if ok() {
			return nil
		}
		return errFalse
	}
}
