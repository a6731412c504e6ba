package fusefs

import (
	"sync"
	"sync/atomic"
)

// maxOpen is how much a mount may have open on one account, files and directories each: the kernel
// closes what is closed, but whoever shares the device can keep it from being told.
const maxOpen = 1 << 16

// counterBits are those of a node id or file handle that are counted; above them is the
// generation of the server that gave it.
const counterBits = 40

// firstOf is the number before the first that a server of that generation gives.
func firstOf(generation uint32) uint64 { return uint64(generation) << counterBits }

// A table gives numbers to what is open. Numbers are never used twice.
type table[T any] struct {
	mu   sync.Mutex
	open map[uint64]T
	last uint64
}

func newTable[T any](generation uint32) table[T] {
	return table[T]{open: make(map[uint64]T), last: firstOf(generation)}
}

func (t *table[T]) add(v T) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	t.open[t.last] = v
	return t.last
}

func (t *table[T]) get(fh uint64) (T, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.open[fh]
	return v, ok
}

func (t *table[T]) remove(fh uint64) (T, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.open[fh]
	delete(t.open, fh)
	return v, ok
}

// all is everything that is open.
func (t *table[T]) all() []T {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.allLocked()
}

func (t *table[T]) allLocked() []T {
	all := make([]T, 0, len(t.open))
	for _, v := range t.open {
		all = append(all, v)
	}
	return all
}

// removeAll empties the table.
func (t *table[T]) removeAll() []T {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.allLocked()
	clear(t.open)
	return all
}

// users counts who uses an open file, the kernel's own hold on it included, so
// that it is closed after the last call on it, which can be one that was given
// up long before RELEASE came.
type users struct{ n atomic.Int64 }

// enter is false when the file is closed already.
func (u *users) enter() bool {
	for {
		n := u.n.Load()
		if n == 0 {
			return false
		}
		if u.n.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave reports whether the caller was the last.
func (u *users) leave() bool { return u.n.Add(-1) == 0 }
