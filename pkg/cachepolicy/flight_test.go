package cachepolicy

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// held is a node that answers when it is told to.
type held struct {
	requested atomic.Int64
	ended     atomic.Int64 // fetches whose context ended first
	answer    chan []byte
	started   chan struct{}
}

func newHeld() *held {
	return &held{answer: make(chan []byte), started: make(chan struct{}, 100)}
}

func (h *held) fetch(ctx context.Context) ([]byte, error) {
	h.requested.Add(1)
	h.started <- struct{}{}
	select {
	case b := <-h.answer:
		return b, nil
	case <-ctx.Done():
		h.ended.Add(1)
		return nil, ctx.Err()
	}
}

// waiting is how many wait for the flight of a key.
func (s *Store) waiting(key Key) int {
	_, sh := s.shardOf(&key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if f := sh.flights[key]; f != nil {
		return f.Waiting()
	}
	return 0
}

func TestOneFetch(t *testing.T) {
	const readers = 50
	s, _ := newTestStore(t, `{match: "<pid>/status", cache: 1s}`)
	node, key := newHeld(), keyOf("status")
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			if v, err := s.Read(t.Context(), key, node.fetch); err != nil || string(v.Content) != "x" {
				t.Errorf("%q, %v", v.Content, err)
			}
		})
	}
	eventually(t, "all wait", func() bool { return s.waiting(key) == readers })
	// One who gives up does not disturb the others.
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error)
	go func() {
		_, err := s.Read(ctx, key, node.fetch)
		gaveUp <- err
	}()
	eventually(t, "one more waits", func() bool { return s.waiting(key) == readers+1 })
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	node.answer <- []byte("x")
	all.Wait()
	if f := s.Figures()[0]; node.requested.Load() != 1 || f.Misses != 1 || f.Coalesced != readers {
		t.Errorf("asked %d times, %+v", node.requested.Load(), f)
	}
}

// The last who gives up ends the fetch, and the next starts another.
func TestLastGivesUp(t *testing.T) {
	s, _ := newTestStore(t, `{match: "<pid>/status", cache: 1s}`)
	node, key := newHeld(), keyOf("status")
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { s.Read(ctx, key, node.fetch) })
	}
	eventually(t, "all wait", func() bool { return s.waiting(key) == 3 })
	cancel()
	all.Wait()
	eventually(t, "the fetch ends", func() bool { return node.ended.Load() == 1 })
	go func() { node.answer <- []byte("y") }()
	read(t, s, key, node.fetch, "y")
	if _, err := s.Read(ctx, keyOf("other"), node.fetch); !errors.Is(err, context.Canceled) {
		t.Errorf("a reader who has given up before: %v", err)
	}
}

// Nobody waits for a fetch that began longer ago than the file may be held.
func TestOldFlight(t *testing.T) {
	s, clock := newTestStore(t, `{match: "<pid>/status", cache: 1s}`)
	slow, quick, key := newHeld(), newHeld(), keyOf("status")
	first := make(chan string)
	go func() {
		v, _ := s.Read(t.Context(), key, slow.fetch)
		first <- string(v.Content)
	}()
	<-slow.started
	clock.Add(time.Second)
	go func() { quick.answer <- []byte("new") }()
	read(t, s, key, quick.fetch, "new")
	slow.answer <- []byte("old")
	if got := <-first; got != "old" {
		t.Errorf("the first reader has %q", got)
	}
	read(t, s, key, failing(syscall.EIO), "new")
}

// Of a file that is never held, each reader asks for themselves.
func TestNoFlightOfNever(t *testing.T) {
	s, _ := newTestStore(t, `{match: "<pid>/maps", cache: never}`)
	node := newHeld()
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { s.Read(t.Context(), keyOf("maps"), node.fetch) })
	}
	for range 5 {
		<-node.started
	}
	for range 5 {
		node.answer <- nil
	}
	all.Wait()
}

// A process that ends, and a policy that changes, while a file is being fetched:
// who asked gets it, and it is not held.
func TestNotHeldOnArrival(t *testing.T) {
	for name, meanwhile := range map[string]func(*Store){
		"exit":   func(s *Store) { s.DropProcess(keyOf("status").Process) },
		"boot":   func(s *Store) { s.DropNode("n1", "another") },
		"policy": func(s *Store) { s.SetPolicy(policy(t, `{match: "<pid>/status", cache: never}`)) },
	} {
		s, _ := newTestStore(t, `{match: "<pid>/status", cache: 1h}`)
		node, key := newHeld(), keyOf("status")
		got := make(chan string)
		go func() {
			v, _ := s.Read(t.Context(), key, node.fetch)
			got <- string(v.Content)
		}()
		<-node.started
		meanwhile(s)
		node.answer <- []byte("x")
		if text := <-got; text != "x" {
			t.Errorf("%s: %q", name, text)
		}
		if _, held := s.Cached(key); held {
			t.Errorf("%s: it is held", name)
		}
	}
}

func TestTimeout(t *testing.T) {
	s := NewStore(StoreConfig{Policy: policy(t, `{match: "**", cache: 1h}`), Timeout: 10 * time.Millisecond})
	defer s.Close()
	if _, err := s.Read(t.Context(), keyOf("status"), newHeld().fetch); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestCloseEndsFetches(t *testing.T) {
	s := NewStore(StoreConfig{Policy: policy(t, `{match: "**", cache: 1h}`)})
	node := newHeld()
	got := make(chan error)
	go func() {
		_, err := s.Read(t.Context(), keyOf("status"), node.fetch)
		got <- err
	}()
	<-node.started
	s.Close()
	if err := <-got; err != syscall.ESHUTDOWN {
		t.Error(err)
	}
}

func TestPanic(t *testing.T) {
	s, _ := newTestStore(t, `{match: "<pid>/status", cache: 1h}`)
	for _, path := range []string{"status", "maps"} {
		if _, err := s.Read(t.Context(), keyOf(path), func(context.Context) ([]byte, error) { panic("oh") }); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
