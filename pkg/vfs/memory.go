package vfs

import (
	"context"
	"hash/maphash"
	"sync/atomic"
	"time"
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
// afterwards and may be given out again for keep.
func NewBytes(content []byte, keep time.Duration) *Bytes {
	b := &Bytes{content: content, keep: keep}
	if keep > 0 {
		b.version = maphash.Bytes(versionSeed, content) | 1
	}
	return b
}

// NewOnce returns an open file with that content, which is its own: it is cleared when
// the file is closed, so that bytes that nobody may keep are nowhere then.
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

// Version implements Held: a hash of the content, zero where it may not be kept.
func (b *Bytes) Version() uint64 { return b.version }

// Keep implements Held.
func (b *Bytes) Keep() time.Duration { return b.keep }

// Listing is a directory being read whose entries are in memory, sorted by
// Next. It is what most trees return from List.
type Listing struct {
	// Load returns the entries, sorted by Next. It is called at the first read
	// and again whenever reading starts anew.
	load    func(context.Context) ([]DirEntry, error)
	entries chan []DirEntry // holds one slice: the lock and what it guards
	holds   atomic.Int64    // bytes of those
}

// NewListing returns a handle that reads what load returns, which is called at
// the first read and again each time reading starts at offset 0. The slice that
// load returns must not change afterwards.
func NewListing(load func(context.Context) ([]DirEntry, error)) *Listing {
	l := &Listing{load: load, entries: make(chan []DirEntry, 1)}
	l.entries <- nil
	return l
}

// ReadDir implements DirHandle.
func (l *Listing) ReadDir(ctx context.Context, offset uint64, dst []DirEntry, max int) ([]DirEntry, error) {
	var all []DirEntry
	select {
	case all = <-l.entries:
	case <-ctx.Done():
		return dst, ctx.Err()
	}
	if offset == 0 || all == nil {
		fresh, err := l.load(ctx)
		if err != nil {
			l.entries <- all
			return dst, err
		}
		all = fresh
		l.holds.Store(weightOf(all))
	}
	l.entries <- all
	for i := after(all, offset); i < len(all) && max > 0; i, max = i+1, max-1 {
		dst = append(dst, all[i])
	}
	return dst, nil
}

// Holds implements Holder.
func (l *Listing) Holds() int64 { return l.holds.Load() }

// Forget implements Holder. Entries that are being read anew are kept.
func (l *Listing) Forget() {
	select {
	case <-l.entries:
		l.holds.Store(0)
		l.entries <- nil
	default:
	}
}

// Close implements DirHandle; it releases nothing.
func (l *Listing) Close() error { return nil }

// after is the index of the first entry whose Next is greater than offset.
func after(all []DirEntry, offset uint64) int {
	lo, hi := 0, len(all)
	for lo < hi {
		mid := (lo + hi) / 2
		if all[mid].Next > offset {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}
