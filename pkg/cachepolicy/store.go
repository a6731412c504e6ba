package cachepolicy

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/flight"
	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Store caches files of nodes by a policy, in memory. All of its methods may be
// called concurrently.
//
// It is made of parts (see shard), each with a lock. A reader of what is cached takes
// none. A lock is never held while a node is asked, and no two at once but for
// changing, which comes before a shard's.
//
// What a store drops is garbage from then on: it has no buffers to use again.
type Store struct {
	clock   *clock
	seed    maphash.Seed
	rules   atomic.Pointer[ruleset]
	shards  [shards]shard
	timeout time.Duration
	silent  func(error) bool

	changing sync.Mutex // locked while the policy is changed

	closed atomic.Bool
	fetch  context.Context // that of all fetches
	end    context.CancelFunc
	flying sync.WaitGroup
}

// StoreConfig is what a store is made of. The zero value will do.
type StoreConfig struct {
	// Policy is what is cached, and for how long; nil is [Default].
	Policy *Policy
	// Now is the clock; nil is the system's monotonic one, which costs a reader half
	// as much as time.Now. A clock that steps back makes everything too old.
	Now func() time.Time
	// Timeout ends a fetch, however many wait for it; default 10 s.
	Timeout time.Duration
	// Unanswered reports whether an error of a fetch says that the node does not
	// answer; nil is the function of that name.
	Unanswered func(error) bool
}

// NewStore returns an empty store. It must be closed.
func NewStore(cfg StoreConfig) *Store {
	if cfg.Policy == nil {
		cfg.Policy = Default()
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Unanswered == nil {
		cfg.Unanswered = Unanswered
	}
	s := &Store{clock: newClock(cfg.Now), seed: maphash.MakeSeed(), timeout: cfg.Timeout, silent: cfg.Unanswered}
	s.fetch, s.end = context.WithCancel(context.Background())
	for i := range s.shards {
		s.shards[i].init()
	}
	s.rules.Store(newRuleset(cfg.Policy, nil))
	return s
}

// Close ends all fetches, waits for them and lets everything go. Reads fail with
// ESHUTDOWN from then on.
func (s *Store) Close() {
	s.closed.Store(true)
	s.end()
	for i := range s.shards {
		s.shards[i].drop(func(*entry) bool { return true }, nil)
	}
	s.flying.Wait()
}

// Policy is the policy in force.
func (s *Store) Policy() *Policy { return s.rules.Load().policy }

// Now is the present on the store's clock, for [Store.Put].
func (s *Store) Now() Moment { return s.clock.now() }

// A Fetch asks a node for a file. Its context is the store's, without the values of
// any reader's; it ends when nobody waits any more, and the fetch must then return
// soon. What it returns is the store's, and not to be changed.
type Fetch func(context.Context) ([]byte, error)

// Read returns a file: what is cached, where the policy allows that, or else what
// fetch brings, once for all readers at the same time. Of a file that is never
// cached each reader calls fetch, with their own ctx. The error is ctx's, that
// of fetch, or a [syscall.Errno] that the node answered before. When ctx ends Read
// returns at once, and others that wait for the same go on waiting.
func (s *Store) Read(ctx context.Context, key Key, fetch Fetch) (Value, error) {
	hash, sh := s.shardOf(&key)
	if e := sh.find(hash, &key); e != nil {
		// By the rules as they are now: an entry that is bound to others waits for
		// SetPolicy, or for the lock.
		if b := e.bound.Load(); b.set == s.rules.Load() {
			if now := s.clock.now(); e.fresh(b, now) {
				b.countHit(e, now)
				return e.value(b, now)
			}
		}
	}
	return s.await(ctx, sh, key, hash, fetch)
}

// Lookup is Read without a fetch: what is cached and fresh, if anything is.
func (s *Store) Lookup(key Key) (v Value, cached bool, err error) {
	hash, sh := s.shardOf(&key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	b, now := s.rules.Load().of(&key), s.clock.now()
	e := sh.cachedLocked(hash, &key, b, now)
	if e == nil || !e.fresh(b, now) {
		return Value{}, false, nil
	}
	b.countHit(e, now)
	v, err = e.value(b, now)
	return v, true, err
}

// Stale is what is cached of a file whose node does not answer, for a reader who cannot
// wait until that is certain: what is fresh, or older by no more than the rule allows. It
// is not ok where nothing is, or where what is cached is an error.
func (s *Store) Stale(key Key) (v Value, ok bool) {
	hash, sh := s.shardOf(&key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	b, now := s.rules.Load().of(&key), s.clock.now()
	e := sh.cachedLocked(hash, &key, b, now)
	if e == nil || e.errno != 0 {
		return Value{}, false
	}
	if e.fresh(b, now) {
		v, _ = e.value(b, now)
		return v, true
	}
	b.figures.stale.Add(1)
	return Value{Content: e.content, Age: now.after(e.requested), Stale: true}, true
}

// Put caches what a node answered, if the policy allows that: asked is when the
// node was asked, by Now. It is for what comes together with something else.
func (s *Store) Put(key Key, asked Moment, content []byte, err error) {
	hash, sh := s.shardOf(&key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !s.closed.Load() {
		s.addAnswerLocked(sh, key, hash, asked, content, err)
	}
}

// cachedLocked is the entry of a key, now cached by the rule b; nil if there is none,
// or none that b lets be shown any more.
func (sh *shard) cachedLocked(hash uint64, key *Key, b *bound, now Moment) *entry {
	e := sh.find(hash, key)
	if e == nil {
		return nil
	}
	if e.bound.Load() != b {
		sh.bindLocked(e, b)
	}
	if !e.useful(b, now) {
		sh.removeLocked(e)
		return nil
	}
	return e
}

// addAnswerLocked caches what a node answered, if it may be cached, and drops what it
// replaces. It returns the content, to be given to readers: the entry's own, if
// there is one.
func (s *Store) addAnswerLocked(sh *shard, key Key, hash uint64, asked Moment, content []byte, err error) []byte {
	set := s.rules.Load()
	b, now := set.of(&key), s.clock.now()
	errno := vfs.Errno(err)
	if errno != 0 && (s.silent(err) || !answers[errno]) {
		return nil // it says nothing about the file
	}
	old := sh.find(hash, &key)
	if old != nil {
		if old.requested > asked {
			return content
		}
		sh.removeLocked(old)
	}
	e := &entry{hash: hash, process: maphash.Comparable(s.seed, key.Process), key: key, errno: errno, requested: asked, size: sizeOf(&key, content)}
	e.bound.Store(b)
	if !e.useful(b, now) || uint64(len(content)) > set.policy.MaxEntry {
		return content
	}
	// Copies, of just what is counted: these texts may be parts of larger ones.
	if errno == 0 {
		e.content = append(make([]byte, 0, len(content)), content...)
	}
	e.key.Path = string(append([]byte(nil), key.Path...))
	sh.addLocked(e, old != nil)
	sh.shrinkLocked(int64(set.policy.MaxBytes/shards), now)
	return e.content
}

// answers are the errors by which a node says something about a file.
var answers = map[syscall.Errno]bool{
	syscall.ENOENT: true, syscall.ESRCH: true, syscall.EACCES: true, syscall.EPERM: true, syscall.ENOTDIR: true, syscall.EISDIR: true,
	syscall.EINVAL: true, syscall.ENXIO: true, syscall.ENODEV: true, syscall.ENODATA: true, syscall.EOPNOTSUPP: true, syscall.ELOOP: true,
}

// Unanswered reports whether an error says that a node does not answer: it is down,
// cannot be reached, or a deadline has passed.
func Unanswered(err error) bool {
	switch vfs.Errno(err) {
	case syscall.EHOSTDOWN, syscall.ETIMEDOUT, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ENOTCONN,
		syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETRESET, syscall.ESHUTDOWN:
		return true
	}
	return false
}

// A Process is one process of one node, or the node's machine itself where PID
// is 0. What of this changes when a name comes to stand for something else must be
// in it: Boot when a node is booted again, Start when a pid is used again.
type Process struct {
	Node  string
	Boot  string // the node's boot id, or whatever else tells its boots apart
	PID   int    // as the node's kernel has it
	Start uint64 // the process's start time, or whatever else tells it from others of its pid
}

// A Key names what is cached: a file as it was read for somebody. Its texts, Path
// apart, are stored as they are: they should be no parts of much larger ones.
type Key struct {
	Process
	// Path is relative to the process directory, or to the node's /proc where PID
	// is 0; native names.
	Path string
	// Reader tells apart for whom the content is good: a form that is for all, or an
	// identity (vfs.Identity.Key).
	Reader string
}

// shardOf is the hash of a key, and the shard that has its place.
func (s *Store) shardOf(key *Key) (uint64, *shard) {
	hash := maphash.Comparable(s.seed, *key)
	return hash, &s.shards[hash>>60]
}

// A Moment is a point on the clock of one store, in nanoseconds. It never goes
// back.
type Moment int64

// after is how long m is after o.
func (m Moment) after(o Moment) time.Duration { return time.Duration(m - o) }

// SetPolicy puts another policy in force. Requests from now on are answered by it
// alone; when SetPolicy returns, what it does not let be cached is gone, and what is
// cached is cached by its rules and within its limits.
func (s *Store) SetPolicy(p *Policy) {
	s.changing.Lock()
	defer s.changing.Unlock()
	set := newRuleset(p, s.rules.Load())
	s.rules.Store(set)
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		now := s.clock.now()
		for e := range sh.allLocked() {
			sh.cachedLocked(e.hash, &e.key, set.of(&e.key), now)
			if uint64(len(e.content)) > p.MaxEntry && sh.find(e.hash, &e.key) == e {
				sh.removeLocked(e)
			}
		}
		sh.shrinkLocked(int64(p.MaxBytes/shards), now)
		sh.mu.Unlock()
	}
}

// DropProcess drops all that is cached of a process, and what is being fetched of it
// when it comes: the process has ended.
func (s *Store) DropProcess(p Process) {
	hash := maphash.Comparable(s.seed, p)
	for i := range s.shards {
		s.shards[i].dropProcess(p, hash)
	}
}

func (sh *shard) dropProcess(p Process, hash uint64) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for e := sh.ofs[hash]; e != nil; {
		earlier := e.earlier
		if e.key.Process == p {
			sh.removeLocked(e)
		}
		e = earlier
	}
	for key, f := range sh.flights {
		if key.Process == p {
			f.gone = true
		}
	}
}

// DropNode drops all that is cached of a node, but what is of the boot that is named; ""
// is none. It looks at all that is cached.
func (s *Store) DropNode(node, but string) {
	of := func(p *Process) bool { return p.Node == node && (but == "" || p.Boot != but) }
	for i := range s.shards {
		s.shards[i].drop(func(e *entry) bool { return of(&e.key.Process) }, func(key *Key) bool { return of(&key.Process) })
	}
}

// Expire drops all that nobody may be shown any more, which otherwise stays until its
// place is needed. It looks at all that is cached.
func (s *Store) Expire() {
	for i := range s.shards {
		s.shards[i].drop(func(e *entry) bool { return !e.useful(e.bound.Load(), s.clock.now()) }, nil)
	}
}

// drop drops entries, and makes flights of no use; nil is none of these.
func (sh *shard) drop(entries func(*entry) bool, flights func(*Key) bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for e := range sh.allLocked() {
		if entries(e) {
			sh.removeLocked(e)
		}
	}
	for key, f := range sh.flights {
		if flights != nil && flights(&key) {
			f.gone = true
		}
	}
}

// allLocked yields all entries; the one that was yielded may be removed.
func (sh *shard) allLocked() func(yield func(*entry) bool) {
	return func(yield func(*entry) bool) {
		table := *sh.table.Load()
		for i := range table {
			for e := table[i].Load(); e != nil; {
				next := e.next.Load()
				if !yield(e) {
					return
				}
				e = next
			}
		}
	}
}

// Info is what is cached under a key, for people.
type Info struct {
	Size int           // of the content, in bytes
	Age  time.Duration // since the node was asked
	Hits int           // how often it was given out, to within a few for many
	Err  error         // what the node answered, where it was no content
}

// Cached is what is cached under a key and may be given out. It counts as no use.
func (s *Store) Cached(key Key) (Info, bool) {
	hash, sh := s.shardOf(&key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	b, now := s.rules.Load().of(&key), s.clock.now()
	e := sh.cachedLocked(hash, &key, b, now)
	if e == nil {
		return Info{}, false
	}
	info := Info{Size: len(e.content), Age: now.after(e.requested), Hits: int(e.hits.Load())}
	if e.errno != 0 {
		info.Err = e.errno
	}
	return info, true
}

// A fetching is a fetch that readers share.
type fetching struct {
	*flight.Flight[[]byte]
	requested Moment // when it began
	gone      bool   // guarded by the shard's lock: what it brings is not to be cached
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
	if e := sh.cachedLocked(hash, &key, b, now); e != nil && e.fresh(b, now) {
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
	if f != nil && !f.gone && now.after(f.requested) < b.cache && f.Join() {
		b.figures.coalesced.Add(1)
	} else {
		b.figures.misses.Add(1)
		f = s.startLocked(sh, key, hash, now, fetch)
	}
	sh.mu.Unlock()
	if err := f.Wait(ctx); err != nil {
		return Value{}, err
	}
	return s.landed(sh, f, b, &key, hash)
}

// startLocked starts a fetch. One that is in flight for the same key goes on for those
// who wait for it.
func (s *Store) startLocked(sh *shard, key Key, hash uint64, now Moment, fetch Fetch) *fetching {
	f := &fetching{requested: now}
	f.Flight = flight.Start(s.fetch, s.flying.Go, func(ctx context.Context) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, s.timeout)
		defer cancel()
		content, err := guardedFetch(ctx, fetch)
		sh.mu.Lock()
		defer sh.mu.Unlock()
		if sh.flights[key] == f {
			delete(sh.flights, key)
		}
		if err != nil {
			content = nil
		}
		if !f.gone && !s.closed.Load() && ctx.Err() == nil {
			content = s.addAnswerLocked(sh, key, hash, now, content, err)
		}
		return content, err
	})
	sh.flights[key] = f
	return f
}

// landed is what one of those who waited for a flight gets, who asked under the
// rule b.
func (s *Store) landed(sh *shard, f *fetching, b *bound, key *Key, hash uint64) (Value, error) {
	now := s.clock.now()
	age := now.after(f.requested)
	content, err := f.Result()
	switch {
	case err == nil:
		return Value{Content: content, Age: age, Keep: min(max(0, b.cache-age), Forever)}, nil
	case s.closed.Load() && errors.Is(err, context.Canceled):
		return Value{}, syscall.ESHUTDOWN
	case !s.silent(err):
		v := Value{Age: age}
		if answers[vfs.Errno(err)] {
			v.Keep = max(0, b.negative-age)
		}
		return v, err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	b = s.rules.Load().of(key)
	e := sh.cachedLocked(hash, key, b, now)
	if e == nil || e.errno != 0 {
		return Value{}, err
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

// Figures are those of each rule, in the order of the policy. It may be called
// concurrently.
func (s *Store) Figures() []Figures {
	set := s.rules.Load()
	all := make([]Figures, len(set.bounds))
	for i, b := range set.bounds {
		f := b.figures
		all[i] = Figures{b.rule, 0, f.misses.Load(), f.coalesced.Load(), f.stale.Load(), f.evicted.Load(), f.entries.Load(), f.bytes.Load()}
		for k := range f.hits {
			all[i].Hits += f.hits[k].Load()
		}
	}
	return all
}

// Table is the figures as a table that people read, one line a rule.
func (s *Store) Table() []byte {
	rows := [][]string{{"LINE", "CACHE", "STALE", "PREFETCH", "HITS", "MISSES", "COALESCED", "STALE-READS", "EVICTED", "CACHED", "BYTES", "NODES", "MATCH"}}
	for _, f := range s.Figures() {
		r := f.Rule
		row := []string{strconv.Itoa(r.Line), r.Cache.String(), FormatSpan(r.Stale), yesNo(r.Prefetch)}
		for _, n := range []int64{f.Hits, f.Misses, f.Coalesced, f.Stale, f.Evicted, f.Entries, f.Bytes} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		rows = append(rows, append(row, r.Nodes.String(), r.Match.String()))
	}
	return plaintext.Table(rows)
}
