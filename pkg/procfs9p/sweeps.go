package procfs9p

import (
	"context"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

// sweeps shares the sweeps that run, and the buffers that they fill.
//
// A sweep belongs to those who wait for it: when the last of them leaves, it
// is cancelled. Its answer belongs to the handles that read it: when the last of
// them is closed, the buffer is used for another sweep.
type sweeps struct {
	leaf *Leaf
	born time.Time

	mu      sync.Mutex
	closed  bool
	running map[string]*flight // by what is asked for; guarded by mu
	spare   []*snapshot.Builder
	flights sync.WaitGroup
}

// Buffers kept for the next sweep: how many, and how large in bytes one may be.
const (
	maxSpare      = 2
	maxSpareBytes = 16 << 20
)

// flight is a sweep that runs.
type flight struct {
	cancel  context.CancelFunc
	done    chan struct{} // closed when answer and err are there
	waiters int           // guarded by sweeps.mu
	answer  *answer
	err     error
}

// answer is a finished sweep.
type answer struct {
	bytes   []byte
	builder *snapshot.Builder // owns bytes
	sweeps  *sweeps
	refs    int // guarded by sweeps.mu
}

func newSweeps(l *Leaf) *sweeps {
	return &sweeps{leaf: l, born: time.Now(), running: make(map[string]*flight)}
}

// join waits for a sweep that answers req, one that runs already or a new one.
// The answer must be released.
func (s *sweeps) join(ctx context.Context, req snapshot.Request) (*answer, error) {
	key := strings.Join(req.Files, "\x00")
	if req.Compress {
		key += "\x00\x00"
	}
	s.mu.Lock()
	f := s.running[key]
	if f == nil {
		if s.closed {
			s.mu.Unlock()
			return nil, syscall.ESHUTDOWN
		}
		f = s.startLocked(key, req)
	}
	f.waiters++
	s.mu.Unlock()

	select {
	case <-f.done:
		return f.answer, f.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-f.done: // it came at the same moment
		if f.answer != nil {
			s.releaseLocked(f.answer)
		}
	default:
		if f.waiters--; f.waiters == 0 {
			f.cancel()
			if s.running[key] == f {
				delete(s.running, key) // nobody joins a cancelled one
			}
		}
	}
	return nil, ctx.Err()
}

func (s *sweeps) startLocked(key string, req snapshot.Request) *flight {
	ctx, cancel := context.WithTimeout(context.Background(), s.leaf.cfg.SweepTimeout)
	f := &flight{cancel: cancel, done: make(chan struct{})}
	s.running[key] = f
	b := s.builderLocked()
	s.flights.Go(func() {
		defer cancel()
		content, err := s.leaf.produce(ctx, b, req)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.running[key] == f {
			delete(s.running, key)
		}
		if f.err = err; err == nil {
			f.answer = &answer{bytes: content, builder: b, sweeps: s, refs: f.waiters}
			if f.waiters == 0 {
				s.spareLocked(b)
			}
		}
		close(f.done)
	})
	return f
}

func (s *sweeps) builderLocked() *snapshot.Builder {
	if n := len(s.spare); n > 0 {
		b := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return b
	}
	return new(snapshot.Builder)
}

func (s *sweeps) spareLocked(b *snapshot.Builder) {
	if len(s.spare) < maxSpare && b.Cap() <= maxSpareBytes {
		s.spare = append(s.spare, b)
	}
}

func (a *answer) release() {
	a.sweeps.mu.Lock()
	defer a.sweeps.mu.Unlock()
	a.sweeps.releaseLocked(a)
}

func (s *sweeps) releaseLocked(a *answer) {
	if a.refs--; a.refs == 0 {
		s.spareLocked(a.builder)
	}
}

// close cancels what runs and waits for it; a sweep ends soon after its
// context.
func (s *sweeps) close() {
	s.mu.Lock()
	s.closed = true
	for _, f := range s.running {
		f.cancel()
	}
	s.mu.Unlock()
	s.flights.Wait()
}
