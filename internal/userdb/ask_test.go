package userdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAnswersAreCached(t *testing.T) {
	f := newFake(t, Config{Age: time.Minute, UnknownAge: 10 * time.Second, FailedAge: 2 * time.Second}, directory)
	ctx := t.Context()
	ask := func() {
		t.Helper()
		if _, err := f.User(ctx, "alice"); err != nil {
			t.Error(err)
		}
		if _, err := f.User(ctx, "nosuch"); !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
		if _, err := f.User(ctx, "broken"); err == nil || errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
	}
	for _, step := range []struct {
		after time.Duration
		runs  int // in all
	}{{0, 3}, {1 * time.Second, 3}, {1 * time.Second, 4}, {9 * time.Second, 6}, {60 * time.Second, 9}} {
		f.clock.add(step.after)
		ask()
		if asked := f.runs(t); len(asked) != step.runs {
			t.Errorf("after %v: asked %d times: %q", step.after, len(asked), asked)
		}
	}
}

// TestBounded asks for more than is kept.
func TestBounded(t *testing.T) {
	f := newFake(t, Config{Entries: 5}, "exit 2")
	for i := range 20 {
		if _, err := f.ByUID(t.Context(), 80000+uint32(i)); !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
	}
	if l := f.rights; l.failures.Len() != 5 || l.answers.Len() != 0 || len(l.inFlight)+len(l.accounts) != 0 {
		t.Errorf("%d failures and %d answers are cached, %d in flight", l.failures.Len(), l.answers.Len(), len(l.inFlight))
	}
}

// blocked waits in the script until the test makes the file "go".
const blocked = `while [ ! -e $D/go ]; do sleep 0.01; done
` + directory

func (f *fake) letGo(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestOneQuestion has many ask the same.
func TestOneQuestion(t *testing.T) {
	f := newFake(t, Config{Timeout: 30 * time.Second}, blocked)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if u, err := f.User(t.Context(), "alice"); err != nil || u != alice {
				t.Errorf("%+v, %v", u, err)
			}
		})
	}
	waitFor(t, "the question", func() bool { return len(f.runs(t)) > 0 })
	f.letGo(t)
	wg.Wait()
	if asked := f.runs(t); len(asked) != 1 {
		t.Errorf("asked %q", asked)
	}
}

// TestFirstCallerLeaves cancels the one for whom a question is asked: it goes on for the
// others, and is asked no more once.
func TestFirstCallerLeaves(t *testing.T) {
	f := newFake(t, Config{Timeout: 30 * time.Second}, blocked)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := f.User(ctx, "alice"); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
	waitFor(t, "the first question", func() bool { return len(f.runs(t)) == 1 })
	for range 5 {
		wg.Go(func() {
			if u, err := f.User(t.Context(), "alice"); err != nil || u != alice {
				t.Errorf("%+v, %v", u, err)
			}
		})
	}
	waitFor(t, "all to wait", func() bool { return f.waiting() == 6 })
	cancel()
	waitFor(t, "the first to leave", func() bool { return f.waiting() == 5 })
	f.letGo(t)
	wg.Wait()
	if asked := f.runs(t); len(asked) != 1 {
		t.Errorf("asked %q", asked)
	}
	if _, err := f.User(ctx, "alice"); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

// waiting is how many wait for the one question that is in flight.
func (f *fake) waiting() (n int) {
	f.rights.mu.Lock()
	defer f.rights.mu.Unlock()
	for _, one := range f.rights.inFlight {
		n += one.Waiting()
	}
	return n
}

// When all have left, getent is ended, nothing is cached, and the next caller asks anew.
func TestAllCallersLeave(t *testing.T) {
	f := newFake(t, Config{Timeout: 30 * time.Second}, "[ -e $D/go ] || exec sleep 1000\n"+directory)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := f.User(ctx, "alice"); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
		})
	}
	waitFor(t, "the question", func() bool { return f.waiting() == 3 && len(f.runs(t)) == 1 })
	cancel()
	wg.Wait()
	waitFor(t, "its end", func() bool {
		f.rights.mu.Lock()
		defer f.rights.mu.Unlock()
		return len(f.rights.inFlight)+len(f.rights.accounts) == 0
	})
	if len(f.rights.slots) != 0 || f.rights.failures.Len() != 0 || f.rights.silence.failures != 0 {
		t.Errorf("%d run, %d failures are cached, %d count", len(f.rights.slots), f.rights.failures.Len(), f.rights.silence.failures)
	}
	f.letGo(t)
	if u, err := f.User(t.Context(), "alice"); err != nil || u != alice {
		t.Errorf("%+v, %v", u, err)
	}
}

// A caller whose time is over counts as a failure of the name service, as far as it had
// as much time as half of a question's.
func TestCallersDeadline(t *testing.T) {
	f := newFake(t, Config{Timeout: 200 * time.Millisecond}, "exec sleep 1000")
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	if _, err := f.User(ctx, "alice"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	waitFor(t, "the failure to count", func() bool {
		f.rights.silence.mu.Lock()
		defer f.rights.silence.mu.Unlock()
		return f.rights.silence.failures == 1
	})
}

// TestTimeout has getent hang, with a process of its own that has its output.
func TestTimeout(t *testing.T) {
	var f *fake
	pid := ""
	for timeout := 200 * time.Millisecond; pid == ""; timeout *= 5 {
		f = newFake(t, Config{Timeout: timeout}, "sleep 1234.5 & echo $! > $D/pid; wait")
		_, err := f.User(t.Context(), "alice")
		if err == nil || errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "no answer within "+timeout.String()) {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(f.dir, "pid"))
		if err != nil && timeout > 10*time.Second {
			t.Fatalf("the script does not get that far: %v", err)
		}
		pid = strings.TrimSpace(string(b)) // "" where the script was ended before that
	}
	waitFor(t, "the end of what it started", func() bool {
		b, err := os.ReadFile("/proc/" + pid + "/stat")
		return err != nil || strings.Contains(string(b), ") Z ")
	})
	runs := len(f.runs(t))
	if _, err := f.User(t.Context(), "alice"); err == nil {
		t.Error("answered")
	}
	if asked := f.runs(t); len(asked) != runs {
		t.Errorf("the failure was not kept: asked %q", asked)
	}
}

// TestFewProcesses counts how many run at once.
func TestFewProcesses(t *testing.T) {
	const most = 3
	f := newFake(t, Config{Processes: most, Timeout: 60 * time.Second}, `mkdir $D/run.$$
ls -d $D/run.* | wc -l >> $D/counts
sleep 0.02
rmdir $D/run.$$
exit 2`)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, err := f.User(t.Context(), fmt.Sprintf("user%d", i)); !errors.Is(err, ErrUnknown) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b, err := os.ReadFile(filepath.Join(f.dir, "counts"))
	if err != nil {
		t.Fatal(err)
	}
	counts := strings.Fields(string(b))
	for _, c := range counts {
		if n, err := strconv.Atoi(c); err != nil || n > most {
			t.Errorf("%s at once", c)
		}
	}
	if len(counts) != 20 {
		t.Errorf("%d runs", len(counts))
	}
}

// TestNoTurn asks while as many as may are being asked for.
func TestNoTurn(t *testing.T) {
	f := newFake(t, Config{Processes: 1, Timeout: 50 * time.Millisecond}, directory)
	f.rights.slots <- struct{}{}
	if _, err := f.User(t.Context(), "alice"); err == nil || !strings.Contains(err.Error(), "none was answered within 50ms") {
		t.Error(err)
	}
	<-f.rights.slots
	f.clock.add(time.Hour)
	f.cfg.Timeout = 30 * time.Second
	if u, err := f.User(t.Context(), "alice"); err != nil || u != alice {
		t.Errorf("%+v, %v", u, err)
	}
}
