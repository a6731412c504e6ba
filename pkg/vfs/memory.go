package vfs

import (
	"context"
	"hash/maphash"
	"sort"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// Bytes is an open file whose content is in memory.
type Bytes struct {
	content []byte
	version uint64
	keep    time.Duration
	once    bool
}

var versionSeed = maphash.MakeSeed()

// NewBytes returns an open file with that content, which must not change
// afterwards; keep is its TTL.
func NewBytes(content []byte, keep time.Duration) *Bytes {
	b := &Bytes{content: content, keep: keep}
	if keep > 0 {
		b.version = maphash.Bytes(versionSeed, content) | 1
	}
	return b
}

// NewOnce returns an open file with that content, which is its own: it is cleared when
// the file is closed, so that bytes that nobody may cache are nowhere then.
func NewOnce(content []byte) *Bytes { return &Bytes{content: content, once: true} }

// ReadAt implements Handle.
func (b *Bytes) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(b.content)) {
		return 0, nil
	}
	return copy(p, b.content[off:]), nil
}

// Close implements Handle; of what NewOnce has made it clears the content.
func (b *Bytes) Close() error {
	if b.once {
		clear(b.content)
	}
	return nil
}

// Content implements Held.
func (b *Bytes) Content() []byte { return b.content }

// Version implements Held: a hash of the content, zero where it may not be cached.
func (b *Bytes) Version() uint64 { return b.version }

// Keep implements Held.
func (b *Bytes) Keep() time.Duration { return b.keep }

// Listing is a directory being read whose entries are in memory, sorted by
// Next. It is what most trees return from List.
type Listing struct {
	// Load returns the entries, sorted by Next. It is called at the first read
	// and again whenever reading starts anew.
	load    func(context.Context) ([]DirEntry, error)
	lock    *semaphore.Weighted // a load may take long; guards entries
	entries []DirEntry
	holds   atomic.Int64 // bytes of those
}

// NewListing returns a handle that reads what load returns, which is called at
// the first read and again each time reading starts at offset 0. The slice that
// load returns must not change afterwards.
func NewListing(load func(context.Context) ([]DirEntry, error)) *Listing {
	return &Listing{load: load, lock: semaphore.NewWeighted(1)}
}

// ReadDir implements DirHandle.
func (l *Listing) ReadDir(ctx context.Context, offset uint64, dst []DirEntry, most int) ([]DirEntry, error) {
	if err := l.lock.Acquire(ctx, 1); err != nil {
		return dst, err
	}
	defer l.lock.Release(1)
	if offset == 0 || l.entries == nil {
		fresh, err := l.load(ctx)
		if err != nil {
			return dst, err
		}
		l.entries = fresh
		l.holds.Store(weightOf(fresh))
	}
	first := sort.Search(len(l.entries), func(i int) bool { return l.entries[i].Next > offset })
	rest := l.entries[first:]
	return append(dst, rest[:min(max(most, 0), len(rest))]...), nil
}

// Holds implements Holder.
func (l *Listing) Holds() int64 { return l.holds.Load() }

// Forget implements Holder. Entries that are being read anew stay.
func (l *Listing) Forget() {
	if l.lock.TryAcquire(1) {
		defer l.lock.Release(1)
		l.entries = nil
		l.holds.Store(0)
	}
}

// Close implements DirHandle; it releases nothing.
func (l *Listing) Close() error { return nil }
