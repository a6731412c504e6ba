package lograte

import (
	"bytes"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// buffer is written to by timers.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Split(strings.TrimSuffix(b.b.String(), "\n"), "\n")
}

// logger is a text log, and what stands in it.
func logger() (*slog.Logger, func() []string) {
	b := new(buffer)
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug})), b.lines
}

// TestByMessage: who causes the same line for an hour gets few, and the last and the
// number of the others are told; lines of other kinds are not in its stead.
func TestByMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plain, lines := logger()
		log := ByMessage(plain)
		for i := range 36000 {
			log.Warn("it failed", "i", i)
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(2 * every)
		synctest.Wait()
		got := lines()
		if len(got) < 60 || len(got) > 60+burst+1 {
			t.Fatalf("%d lines in an hour", len(got))
		}
		if last := got[len(got)-1]; !strings.Contains(last, "i=35999") || !strings.Contains(last, "left_out=") {
			t.Errorf("the last line is %s", last)
		}
		time.Sleep(burst * every) // until there is room for as many again
		synctest.Wait()
		for range 2 * burst {
			log.Warn("it failed")
		}
		log.Warn("something else")
		log.With("node", "n1").Warn("it failed")
		for range 100 {
			log.Debug("it failed")
		}
		if n := len(lines()) - len(got); n != burst+2+100 {
			t.Errorf("%d lines more", n)
		}
		time.Sleep(2 * every)
	})
}

// TestTogether: the last line is how things are.
func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plain, lines := logger()
		log := Together(plain)
		for range 500 {
			log.Info("up")
			log.Warn("down")
		}
		if n := len(lines()); n != burst {
			t.Errorf("%d lines at once", n)
		}
		time.Sleep(2 * every)
		synctest.Wait()
		got := lines()
		if last := got[len(got)-1]; len(got) != burst+1 || !strings.Contains(last, "msg=down left_out=989") {
			t.Errorf("%d lines, the last %s", len(got), last)
		}
	})
}

// TestKinds: kinds without number are not held without number.
func TestKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plain, lines := logger()
		log := ByMessage(plain)
		for i := range 20 * maxKinds {
			log.Warn("kind " + strings.Repeat("x", i))
		}
		if n := len(log.Handler().(*handler).by.kinds); n > maxKinds+1 {
			t.Errorf("%d kinds", n)
		}
		if n := len(lines()); n != maxKinds+burst {
			t.Errorf("%d lines", n)
		}
		time.Sleep(2 * every)
	})
}

// TestLongTexts: no text makes a long line.
func TestLongTexts(t *testing.T) {
	plain, lines := logger()
	log, long := ByMessage(plain), strings.Repeat("ä", 1<<19)
	log.Warn(long, "text", long, "err", errors.New(long), "stack", "goroutine 1")
	log.Warn("short", "err", errors.New("short"), "n", 7)
	for _, text := range []string{strings.Repeat("\n", MaxText), strings.Repeat("\x00", MaxText), strings.Repeat("\xff", MaxText), strings.Repeat(`"\`, MaxText), strings.Repeat("\U000e0001", MaxText)} {
		if n := len(strconv.Quote(Cut(text))); n > MaxText+20 {
			t.Errorf("%.10q takes %d bytes", text, n)
		}
	}
	got := lines()
	if len(got[0]) > 4*MaxText || !strings.Contains(got[0], " bytes\" err=") || strings.Contains(got[0], "\ufffd") {
		t.Errorf("%d bytes: %.100s", len(got[0]), got[0])
	}
	if !strings.HasSuffix(got[1], "msg=short err=short n=7") {
		t.Error(got[1])
	}
}

// TestBucket has the times at which there is room.
func TestBucket(t *testing.T) {
	b, now := Bucket{Burst: 3, Every: time.Second}, time.Unix(1000, 0)
	for range 3 {
		if !b.Take(now) {
			t.Fatal("no room for the first three")
		}
	}
	if b.Take(now) || b.Wait(now) != time.Second || b.Full(now) {
		t.Errorf("after three: wait %v", b.Wait(now))
	}
	if now = now.Add(time.Second); !b.Take(now) || b.Take(now) {
		t.Error("not one after a second")
	}
	if now = now.Add(3 * time.Second); !b.Full(now) {
		t.Error("not full after all its time")
	}
}
