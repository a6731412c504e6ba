package proctable

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

// newTestNode is a node that is not connected to anything.
func newTestNode(t *testing.T, log *slog.Logger) *Node {
	t.Helper()
	policy := cachepolicy.Sweep(time.Hour)
	shared := NewShared(Config{Policy: func() *cachepolicy.Policy { return policy }, Numbers: &gpid.Numbering{}})
	n := New(t.Context(), shared, upstream.Config{
		Name: "n1", Index: 1, Timeouts: upstream.Timeouts{}.WithDefaults(), Log: log, Now: time.Now,
	}, Traits{})
	t.Cleanup(n.Wait)
	return n
}

// TestClocksAreBounded: a leaf that makes boots up is not remembered without bound.
func TestClocksAreBounded(t *testing.T) {
	s := newTestNode(t, slog.New(slog.DiscardHandler)).clocks
	f := snapshot.Facts{BootID: "boot-1", Hz: 100, PageSize: 4096}
	first := s.of(f)
	for i := range 100 {
		f.BootID = fmt.Sprint(i)
		s.of(f)
		f.BootID = "boot-1"
		if s.of(f) != first || s.last() != first {
			t.Fatal("a boot that is in use was forgotten")
		}
	}
	if n := s.all.Len(); n > maxBoots {
		t.Errorf("%d boots are remembered", n)
	}
}

// TestLackingForHiding: what a leaf cannot see since its procfs hides it has its remedy.
func TestLackingForHiding(t *testing.T) {
	if err := lacking(0, syscall.EPERM); err == nil || !strings.Contains(err.Error(), "CAP_SYS_PTRACE") {
		t.Errorf("processes that the procfs hides: %v", err)
	}
}

// TestFailingSnapshots: a node whose snapshots come and fail makes few lines, however long.
func TestFailingSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := new(bytes.Buffer)
		n := newTestNode(t, slog.New(slog.NewTextHandler(lines, nil)))
		flaw := errors.New(strings.Repeat("what the leaf says\n", 10000))
		const minutes = 10
		for range minutes * 60 {
			n.mu.Lock()
			n.noteLocked(true, nil, flaw)
			n.noteLocked(true, nil, nil)
			n.mu.Unlock()
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		got := strings.Count(lines.String(), "\n")
		if most := 10 + minutes + 2; got > most || got == 0 || lines.Len() > most*2048 {
			t.Errorf("%d lines of %d bytes", got, lines.Len())
		}
	})
}

// TestSweepAfterTooMuch: a node that has come back since a snapshot of it was too much is asked
// again, and whoever waits gets an answer.
func TestSweepAfterTooMuch(t *testing.T) {
	n := newTestNode(t, slog.New(slog.DiscardHandler))
	n.refused = n.Now() // and no error is left: it has been up again meanwhile
	f := n.Sweep()
	n.mu.Lock()
	underWay := n.fetch == f
	n.mu.Unlock()
	select {
	case <-f.done:
		t.Errorf("the snapshot has ended already: %v", f.err)
	default:
		if !underWay {
			t.Error("no snapshot is under way")
		}
	}
	n.mu.Lock()
	n.fetch, n.sweepErr = nil, syscall.EFBIG
	n.mu.Unlock()
	select {
	case <-n.Sweep().done:
	default:
		t.Error("it is asked for a snapshot that was too much a moment ago")
	}
}

// TestRenewInTime: to read process after process near the end of a table's time has the next
// table on its way before that.
func TestRenewInTime(t *testing.T) {
	n := newTestNode(t, slog.New(slog.DiscardHandler))
	n.table.Store(&Table{Table: &snapshot.Table{}, took: 2 * time.Hour, expires: time.Now().Add(time.Hour)})
	underWay := func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.fetch != nil
	}
	n.Renew(1)
	n.Renew(1)
	if underWay() {
		t.Error("renewed for one process")
	}
	for pid := range gpid.PID(lateReads + 2) {
		n.Renew(pid + 1)
	}
	if !underWay() {
		t.Error("the table is not renewed")
	}
}
