package snapshot

import (
	"context"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Producer makes a sweep of a node: it resets b, for base and those files, and puts
// the processes into it. base is what it made last of them, nil for nothing. When
// ctx ends it delivers what there is. After an error b is not used any more.
type Producer func(ctx context.Context, b *Builder, base *Table, files []string) error

// A Server answers requests about one node. It shares the sweeps among all who ask
// in time, and remembers what it answered to those who will ask for what changed.
//
// A sweep belongs to those who wait for it: when the last of them leaves, it is
// cancelled.
type Server struct {
	produce Producer
	timeout time.Duration
	flights sync.WaitGroup

	mu     sync.Mutex
	closed bool
	states map[string]*state // by the files; guarded by mu
	forget *time.Timer       // runs forgetIdle; nil while nothing is remembered; guarded by mu
}

const (
	// rememberFor is how long what nobody asks for is remembered.
	rememberFor = time.Minute
	// maxStates is how many sets of files are remembered.
	maxStates = 4
	// maxSpare is how large the buffer of a builder may be that is used again, in bytes.
	maxSpare = 16 << 20
)

// builders are those that no sweep uses, of all servers of the process.
var builders = sync.Pool{New: func() any { return new(Builder) }}

// state is what is known of one set of files.
type state struct {
	running *flight   // the sweep under way, if any
	table   *Table    // of the last sweep, if it is remembered
	began   time.Time // when that began
	used    time.Time // when it was asked for last
}

// flight is a sweep under way.
type flight struct {
	began    time.Time
	remember bool
	cancel   context.CancelFunc
	done     chan struct{} // closed when table and err are there
	waiters  int           // guarded by Server.mu
	table    *Table
	err      error
}

// NewServer makes a server; no sweep takes longer than timeout. Close ends it.
func NewServer(produce Producer, timeout time.Duration) *Server {
	return &Server{produce: produce, timeout: timeout, states: make(map[string]*state)}
}

// Answer is a [Source].
func (s *Server) Answer(ctx context.Context, req Request) ([]byte, error) {
	t, began, err := s.Table(ctx, req)
	if err != nil {
		return nil, err
	}
	return t.Answer(req, time.Since(began)), nil
}

// Table is the processes as a sweep brought them that began at most req.MaxAge ago.
func (s *Server) Table(ctx context.Context, req Request) (t *Table, began time.Time, err error) {
	key := strings.Join(req.Files, "\x00")
	since := time.Now().Add(-req.MaxAge)
	for {
		f, st, err := s.join(key, req, since)
		if err != nil {
			return nil, began, err
		}
		if f == nil {
			return st.table, st.began, nil
		}
		select {
		case <-f.done:
			// One that began too early is only waited for.
			if f.began.Before(since) {
				continue
			}
			return f.table, f.began, f.err
		case <-ctx.Done():
			return nil, began, s.leave(key, f, ctx.Err())
		}
	}
}

// join returns what is remembered, if it is young enough, or the sweep to wait for,
// which it starts if there is none.
func (s *Server) join(key string, req Request, since time.Time) (*flight, state, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, state{}, syscall.ESHUTDOWN
	}
	st := s.states[key]
	if st == nil {
		if len(s.states) >= maxStates {
			s.forgetOldestLocked()
		}
		st = &state{}
		s.states[key] = st
	}
	st.used = time.Now()
	if st.table != nil && !st.began.Before(since) {
		return nil, *st, nil
	}
	if st.running == nil {
		s.startLocked(key, st, req)
	}
	st.running.waiters++
	st.running.remember = st.running.remember || req.Remember
	return st.running, state{}, nil
}

// leave counts somebody out who does not wait any longer for f, for that reason.
func (s *Server) leave(key string, f *flight, why error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-f.done: // it came at the same moment
		return why
	default:
	}
	if f.waiters--; f.waiters == 0 {
		f.cancel()
		if st := s.states[key]; st != nil && st.running == f {
			st.running = nil // nobody joins a cancelled one
		}
	}
	return why
}

func (s *Server) startLocked(key string, st *state, req Request) {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	f := &flight{began: time.Now(), cancel: cancel, done: make(chan struct{})}
	st.running = f
	base := st.table
	b := builders.Get().(*Builder)
	s.flights.Go(func() {
		defer cancel()
		err := s.produce(ctx, b, base, req.Files)
		if err == nil {
			f.table, err = b.Table()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		defer close(f.done)
		if f.err = err; err == nil {
			release(b)
		}
		if st.running != f {
			return
		}
		st.running = nil
		switch {
		case err != nil:
		case f.remember || base != nil:
			st.table, st.began = f.table, f.began
			s.rememberLocked()
		case s.states[key] == st:
			delete(s.states, key)
		}
	})
}

// forgetOldestLocked makes room for another set of files.
func (s *Server) forgetOldestLocked() {
	oldest := ""
	for key, st := range s.states {
		if st.running == nil && (oldest == "" || st.used.Before(s.states[oldest].used)) {
			oldest = key
		}
	}
	if oldest != "" {
		delete(s.states, oldest)
	}
}

// rememberLocked sees to it that what is remembered is forgotten in time.
func (s *Server) rememberLocked() {
	if s.forget == nil && !s.closed {
		s.forget = time.AfterFunc(rememberFor, s.forgetIdle)
	}
}

// forgetIdle forgets what nobody asked for lately.
func (s *Server) forgetIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, st := range s.states {
		if st.running == nil && time.Since(st.used) >= rememberFor {
			delete(s.states, key)
		}
	}
	if s.forget = nil; len(s.states) > 0 {
		s.rememberLocked()
	}
}

// Close cancels what runs and waits for it; a sweep ends soon after its context.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for _, st := range s.states {
		if st.running != nil {
			st.running.cancel()
		}
	}
	if s.forget != nil {
		s.forget.Stop()
	}
	s.mu.Unlock()
	s.flights.Wait()
}
