package snapshot

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/aggrfs/aggrfs/internal/flight"
)

// A Producer makes a sweep of a node: it resets b, for base and those files, and puts
// the processes into it. base is what it made last of them, nil for nothing. When
// ctx ends it delivers what there is. After an error b is not used any more.
type Producer func(ctx context.Context, b *Builder, base *Table, files []string) error

// A Server answers requests about one node. It shares the sweeps among all requests that come
// in time, and remembers what it answered to those who will ask for what changed.
//
// A sweep belongs to those who wait for it: when the last of them leaves, it is
// cancelled.
type Server struct {
	produce Producer
	meter   Meter               // nil: there are no figures
	taking  *semaphore.Weighted // of whose figures are being taken
	figures FigureHistory
	timeout time.Duration
	ctx     context.Context // of all sweeps; ended by Close
	cancel  context.CancelFunc
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
	running  *flight.Flight[swept] // the last sweep, if it is under way or was given up
	remember bool                  // what it brings
	last     swept                 // the last that is remembered; its table is nil if there is none
	used     time.Time             // when it was asked for last
}

// swept is what a sweep has brought.
type swept struct {
	table *Table
	began time.Time
}

// NewServer makes a server; no sweep takes longer than timeout. Close ends it.
func NewServer(produce Producer, timeout time.Duration) *Server {
	s := &Server{produce: produce, timeout: timeout, states: make(map[string]*state), taking: semaphore.NewWeighted(1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Measure has the server answer for the node's figures, too. It is called before it is used.
func (s *Server) Measure(m Meter) { s.meter = m }

// Answer is a [Source].
func (s *Server) Answer(ctx context.Context, req Request) ([]byte, error) {
	if len(req.Files) == 0 {
		f, err := s.take(ctx, req.MaxAge)
		if err != nil {
			return nil, err
		}
		return AnswerFigures(f, s.figures.Find(req.Known)), nil
	}
	t, began, err := s.Table(ctx, req)
	if err != nil {
		return nil, err
	}
	var f *Figures
	if req.Figures {
		if f, err = s.take(ctx, req.MaxAge); err != nil && !errors.Is(err, syscall.EOPNOTSUPP) {
			return nil, err
		}
	}
	return t.AnswerWith(req, time.Since(began), f, s.figures.Find(req.Known)), nil
}

// take takes the node's figures, or has those that were taken not longer ago than that.
func (s *Server) take(ctx context.Context, maxAge time.Duration) (*Figures, error) {
	if s.meter == nil {
		return nil, syscall.EOPNOTSUPP
	}
	since := time.Now().Add(-maxAge)
	if err := s.taking.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer s.taking.Release(1)
	if f := s.figures.Since(since); f != nil {
		return f, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	at := time.Now()
	return s.figures.Add(s.meter(ctx), at), nil
}

// Table is the processes as a sweep brought them that began at most req.MaxAge ago.
func (s *Server) Table(ctx context.Context, req Request) (t *Table, began time.Time, err error) {
	since := time.Now().Add(-req.MaxAge)
	for {
		f, held, err := s.join(req, since)
		if err != nil || f == nil {
			return held.table, held.began, err
		}
		if err := f.Wait(ctx); err != nil {
			return nil, began, err
		}
		// One that began too early is only waited for.
		if got, err := f.Result(); !got.began.Before(since) {
			return got.table, got.began, err
		}
	}
}

// join returns what is remembered, if it is young enough, or the sweep to wait for,
// which it starts if there is none.
func (s *Server) join(req Request, since time.Time) (*flight.Flight[swept], swept, error) {
	key := strings.Join(req.Files, "\x00")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, swept{}, syscall.ESHUTDOWN
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
	if st.last.table != nil && !st.last.began.Before(since) {
		return nil, st.last, nil
	}
	if st.running == nil || !st.running.Join() {
		st.remember = false
		s.startLocked(key, st, req.Files)
	}
	st.remember = st.remember || req.Remember
	return st.running, swept{}, nil
}

// startLocked starts a sweep, which is cancelled when nobody waits for it.
func (s *Server) startLocked(key string, st *state, files []string) {
	base, began := st.last.table, time.Now()
	b := builders.Get().(*Builder)
	var f *flight.Flight[swept]
	f = flight.Start(s.ctx, s.flights.Go, func(awaited context.Context) (got swept, err error) {
		ctx, cancel := context.WithTimeout(awaited, s.timeout)
		defer cancel()
		got.began = began
		if err = s.produce(ctx, b, base, files); err == nil {
			if got.table, err = b.Table(); err == nil {
				release(b)
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if st.running != f {
			return got, err
		}
		st.running = nil
		switch {
		case err != nil || awaited.Err() != nil: // what was given up may lack processes
		case st.remember || base != nil:
			st.last = got
			s.rememberLocked()
		case s.states[key] == st:
			delete(s.states, key)
		}
		return got, err
	})
	st.running = f
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
	if s.forget != nil {
		s.forget.Stop()
	}
	s.mu.Unlock()
	s.cancel()
	s.flights.Wait()
}
