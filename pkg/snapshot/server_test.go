package snapshot

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// sweeper is a producer whose sweeps take a second.
type sweeper struct {
	sweeps atomic.Int32
	bases  atomic.Int32 // sweeps that got a base
	err    error
}

func (p *sweeper) produce(ctx context.Context, b *Builder, base *Table, files []string) error {
	p.sweeps.Add(1)
	if base != nil {
		p.bases.Add(1)
	}
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	b.Reset(base, testFacts, files)
	b.Begin(Proc{PID: int32(p.sweeps.Load()), ID: 1})
	for range files {
		b.Add([]byte("x"))
	}
	return p.err
}

// remembered is how many sets of files s remembers.
func remembered(s *Server) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.states {
		if st.last.table != nil {
			n++
		}
	}
	return n
}

func TestServerShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &sweeper{}
		s := NewServer(p.produce, 5*time.Second)
		defer s.Close()
		stat := Request{Files: []string{"stat"}, Remember: true}
		ask := func(req Request, pid int32) {
			t.Helper()
			table, began, err := s.Table(t.Context(), req)
			if err != nil || table.PID(0) != pid || time.Since(began) < time.Second && table == nil {
				t.Errorf("%v, %v; want pid %d", table, err, pid)
			}
		}
		var wg sync.WaitGroup
		start := time.Now()
		for range 10 { // all at once: one sweep
			wg.Go(func() { ask(stat, 1) })
		}
		wg.Wait()
		old := stat
		old.MaxAge = 2 * time.Second
		young := stat
		young.MaxAge = time.Second / 2
		ask(old, 1) // as it is remembered
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
		ask(stat, 2) // anew, and onto the last
		wg.Go(func() { ask(stat, 3) })
		synctest.Wait()
		wg.Go(func() { time.Sleep(time.Millisecond); ask(stat, 4) })  // the sweep under way began too early
		wg.Go(func() { time.Sleep(time.Millisecond); ask(young, 3) }) // and for this one not
		wg.Wait()
		if p.sweeps.Load() != 4 || p.bases.Load() != 3 {
			t.Errorf("%d sweeps, %d with a base", p.sweeps.Load(), p.bases.Load())
		}
		ask(Request{Files: []string{"environ"}}, 5)
		if remembered(s) != 1 {
			t.Error("what was not to be remembered is")
		}
		time.Sleep(3 * rememberFor)
		if remembered(s) != 0 {
			t.Error("what nobody asks for is remembered")
		}
		for i, name := range []string{"a", "b", "c", "d", "e", "f"} {
			ask(Request{Files: []string{name}, Remember: true}, int32(6+i))
		}
		if n := remembered(s); n != maxStates {
			t.Errorf("%d sets of files are remembered", n)
		}
	})
}

func TestServerCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &sweeper{}
		s := NewServer(p.produce, 5*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, _, err := s.Table(ctx, Request{Files: []string{"stat"}, Remember: true}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		synctest.Wait()
		if remembered(s) != 0 || time.Since(start) > time.Millisecond {
			t.Error("a sweep that nobody waits for went on")
		}
		p.err = syscall.EIO
		if _, _, err := s.Table(t.Context(), Request{Files: []string{"stat"}}); !errors.Is(err, p.err) {
			t.Error(err)
		}
		s.Close()
		if _, _, err := s.Table(t.Context(), Request{Files: []string{"stat"}}); !errors.Is(err, syscall.ESHUTDOWN) {
			t.Error(err)
		}
	})
}
