package wait_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aggrfs/aggrfs/test/wait"
)

// What holds in time is waited for, and no longer than that.
func TestHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		wait.Until(t, "a second has passed", func() bool { return time.Since(begun) >= time.Second })
		if took := time.Since(begun); took > 1100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// What never holds ends with the last reason.
func TestNeverHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, tries := time.Now(), 0
		err := wait.Poll(t.Context(), func() error { tries++; return errors.New("too cold") })
		if took := time.Since(begun); took != wait.Patience || err == nil || !strings.HasSuffix(err.Error(), "2m0s: too cold") {
			t.Errorf("after %v: %v", took, err)
		}
		if tries < 100 || tries > 5000 {
			t.Errorf("it was tried %d times", tries)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun = time.Now()
		if err := wait.Poll(ctx, func() error { return errors.New("too cold") }); err == nil || time.Since(begun) != time.Second {
			t.Errorf("with a context of a second: %v after %v", err, time.Since(begun))
		}
	})
}
