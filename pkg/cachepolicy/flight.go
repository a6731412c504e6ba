package cachepolicy

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A flight is a fetch that readers wait for.
type flight struct {
	asked   Moment // when it began
	cancel  context.CancelFunc
	waiters int  // guarded by the shard's lock
	gone    bool // guarded by it: what it brings is not to be held

	done chan struct{} // closed when the rest is there
	// content and err are what it brought.
	content []byte
	err     error
}

// await is Read where no fresh entry was found without the lock.
func (s *Store) await(ctx context.Context, sh *shard, key Key, hash uint64, fetch Fetch) (Value, error) {
	if err := ctx.Err(); err != nil {
		return Value{}, err
	}
	sh.mu.Lock()
	if s.closed.Load() {
		sh.mu.Unlock()
		return Value{}, syscall.ESHUTDOWN
	}
	// What this reader gets is decided by these rules, and none but these.
	b, now := s.rules.Load().of(&key), s.clock.now()
	if e := sh.heldLocked(hash, &key, b, now); e != nil && e.fresh(b, now) {
		defer sh.mu.Unlock()
		b.countHit(e, now)
		return e.value(b, now)
	}
	if b.cache == 0 {
		sh.mu.Unlock()
		b.figures.misses.Add(1)
		content, err := guardedFetch(ctx, fetch)
		return Value{Content: content}, err
	}
	f := sh.flights[key]
	if f != nil && !f.gone && now.after(f.asked) < b.cache {
		b.figures.coalesced.Add(1)
		f.waiters++
	} else {
		b.figures.misses.Add(1)
		f = s.flyLocked(sh, key, hash, now, fetch)
	}
	sh.mu.Unlock()
	select {
	case <-f.done:
		return s.landed(sh, f, b, &key, hash)
	case <-ctx.Done():
		sh.mu.Lock()
		defer sh.mu.Unlock()
		if f.waiters--; f.waiters == 0 {
			f.cancel()
			sh.endLocked(key, f)
		}
		return Value{}, ctx.Err()
	}
}

// flyLocked starts a fetch. One that is on its way for the same key goes on for
// those who wait for it.
func (s *Store) flyLocked(sh *shard, key Key, hash uint64, now Moment, fetch Fetch) *flight {
	ctx, cancel := context.WithTimeout(s.fetch, s.timeout)
	f := &flight{asked: now, cancel: cancel, waiters: 1, done: make(chan struct{})}
	sh.flights[key] = f
	s.flying.Add(1)
	go func() {
		defer s.flying.Done()
		defer close(f.done)
		defer cancel()
		content, err := guardedFetch(ctx, fetch)
		sh.mu.Lock()
		defer sh.mu.Unlock()
		sh.endLocked(key, f)
		if err != nil {
			content = nil
		}
		if !f.gone && !s.closed.Load() && ctx.Err() == nil {
			content = s.keepLocked(sh, key, hash, now, content, err)
		}
		f.content, f.err = content, err
	}()
	return f
}

// endLocked makes f the flight of its key no more.
func (sh *shard) endLocked(key Key, f *flight) {
	if sh.flights[key] == f {
		delete(sh.flights, key)
	}
}

// landed is what one of those who waited for a flight gets, who asked under the
// rule b.
func (s *Store) landed(sh *shard, f *flight, b *bound, key *Key, hash uint64) (Value, error) {
	now := s.clock.now()
	age := now.after(f.asked)
	switch {
	case f.err == nil:
		return Value{Content: f.content, Age: age, Keep: min(max(0, b.cache-age), Forever)}, nil
	case s.closed.Load() && errors.Is(f.err, context.Canceled):
		return Value{}, syscall.ESHUTDOWN
	case !s.silent(f.err):
		v := Value{Age: age}
		if answers[vfs.Errno(f.err)] {
			v.Keep = max(0, b.negative-age)
		}
		return v, f.err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	b = s.rules.Load().of(key)
	e := sh.heldLocked(hash, key, b, now)
	if e == nil || e.errno != 0 {
		return Value{}, f.err
	}
	v, err := e.value(b, now)
	if v.Stale = !e.fresh(b, now); v.Stale {
		v.Keep = 0
		b.figures.stale.Add(1)
	}
	return v, err
}

// guardedFetch calls fetch, whose panic is an error like any other.
func guardedFetch(ctx context.Context, fetch Fetch) (content []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			content, err = nil, fmt.Errorf("%w: %v\n%s", syscall.EIO, r, debug.Stack())
		}
	}()
	return fetch(ctx)
}
