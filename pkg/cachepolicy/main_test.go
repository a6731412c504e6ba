package cachepolicy

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aggrfs/aggrfs/test/wait"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeClock is a clock that a test moves.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newFakeClock() *fakeClock {
	return &fakeClock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// newTestStore is a store with a fake clock that is closed, and found to be sound,
// at the end of the test.
func newTestStore(t testing.TB, rules ...string) (*Store, *fakeClock) {
	t.Helper()
	c := newFakeClock()
	s := NewStore(StoreConfig{Policy: policy(t, rules...), Now: c.Now})
	t.Cleanup(func() {
		sound(t, s)
		s.Close()
	})
	return s, c
}

// sound compares what a store says of itself with what it holds.
func sound(t testing.TB, s *Store) {
	t.Helper()
	var entries, bytes int64
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		count, size, fresh, chained := 0, int64(0), int64(0), 0
		for e := range sh.allLocked() {
			count++
			size += e.size
			if e.list == sh.recent {
				fresh += e.size
			}
			if !e.list.Contains(e) || sh.find(e.hash, &e.key) != e {
				t.Errorf("%v is in the table, but not in its list or not to be found", e.key)
			}
		}
		for hash, e := range sh.ofs {
			for ; e != nil; e = e.earlier {
				if chained++; e.process != hash || e.earlier != nil && e.earlier.later != e {
					t.Errorf("%v is in the wrong chain", e.key)
				}
			}
		}
		if count != sh.count || size != sh.bytes || fresh != sh.fresh || chained != count || sh.recent.Len()+sh.frequent.Len() != count {
			t.Errorf("shard %d: %d entries, %d bytes, %d fresh, %d chained; it says %d, %d, %d, and lists of %d and %d",
				i, count, size, fresh, chained, sh.count, sh.bytes, sh.fresh, sh.recent.Len(), sh.frequent.Len())
		}
		if limit := int64(s.Policy().MaxBytes / shards); size > limit {
			t.Errorf("shard %d holds %d bytes of %d", i, size, limit)
		}
		entries, bytes = entries+int64(count), bytes+size
		sh.mu.Unlock()
	}
	for _, f := range s.Figures() {
		entries, bytes = entries-f.Entries, bytes-f.Bytes
	}
	if entries != 0 || bytes != 0 {
		t.Errorf("the figures are %d entries and %d bytes off", entries, bytes)
	}
}

// counter is a node whose file says how often it was read.
type counter struct{ n atomic.Int64 }

func (c *counter) fetch(context.Context) ([]byte, error) {
	return fmt.Append(nil, c.n.Add(1)), nil
}

// read reads a key and wants that content.
func read(t *testing.T, s *Store, key Key, fetch Fetch, want string) Value {
	t.Helper()
	v, err := s.Read(t.Context(), key, fetch)
	if err != nil || string(v.Content) != want {
		t.Fatalf("%v: %q, %v; want %q", key, v.Content, err, want)
	}
	return v
}

func failing(err error) Fetch {
	return func(context.Context) ([]byte, error) { return nil, err }
}

func keyOf(path string) Key { return Key{Process: Process{"n1", "boot", 12, 34}, Path: path} }

// eventually waits until what is asked for is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	wait.Until(t, what, is)
}
