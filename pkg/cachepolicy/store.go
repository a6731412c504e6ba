package cachepolicy

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Store holds files of nodes by a policy, in memory. All of its methods may be
// called concurrently.
//
// It is made of parts (see shard), each with a lock. A reader of what is held takes
// none. A lock is never held while a node is asked, and no two at once but for
// changing, which comes before a shard's.
//
// What a store lets go is garbage from then on: it keeps no buffers to use again.
type Store struct {
	clock   *clock
	seed    maphash.Seed
	rules   atomic.Pointer[ruleset]
	shards  [shards]shard
	timeout time.Duration
	silent  func(error) bool

	changing sync.Mutex // held by who changes the policy

	closed atomic.Bool
	fetch  context.Context // that of all fetches
	end    context.CancelFunc
	flying sync.WaitGroup
}

// StoreConfig is what a store is made of. The zero value will do.
type StoreConfig struct {
	// Policy is what is held, and for how long; nil is [Default].
	Policy *Policy
	// Now is the clock; nil is the system's monotonic one, which costs a reader half
	// as much as time.Now. A clock that steps back makes everything too old.
	Now func() time.Time
	// Timeout ends a fetch, however many wait for it; default 10 s.
	Timeout time.Duration
	// Unanswered tells whether an error of a fetch says that the node does not
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
// soon. What it returns is the store's to keep, and not to be changed.
type Fetch func(context.Context) ([]byte, error)

// Read returns a file: what is held, where the policy allows that, or else what
// fetch brings, once for all who ask for it at the same time. Of a file that is
// never held each reader calls fetch, with their own ctx. The error is ctx's, that
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

// Lookup is Read without a fetch: what is held and fresh, if anything is.
func (s *Store) Lookup(key Key) (v Value, held bool, err error) {
	hash, sh := s.shardOf(&key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	b, now := s.rules.Load().of(&key), s.clock.now()
	e := sh.heldLocked(hash, &key, b, now)
	if e == nil || !e.fresh(b, now) {
		return Value{}, false, nil
	}
	b.countHit(e, now)
	v, err = e.value(b, now)
	return v, true, err
}

// Stale is what is held of a file whose node does not answer, for one who cannot wait
// until that is certain: what is fresh, or older by no more than the rule allows. It is
// not ok where nothing is, or where what is held is an error.
func (s *Store) Stale(key Key) (v Value, ok bool) {
	hash, sh := s.shardOf(&key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	b, now := s.rules.Load().of(&key), s.clock.now()
	e := sh.heldLocked(hash, &key, b, now)
	if e == nil || e.errno != 0 {
		return Value{}, false
	}
	if e.fresh(b, now) {
		v, _ = e.value(b, now)
		return v, true
	}
	b.figures.stale.Add(1)
	return Value{Content: e.content, Age: now.after(e.asked), Stale: true}, true
}

// Put holds what a node answered, if the policy lets it be held: asked is when the
// node was asked, by Now. It is for what comes together with something else.
func (s *Store) Put(key Key, asked Moment, content []byte, err error) {
	hash, sh := s.shardOf(&key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !s.closed.Load() {
		s.keepLocked(sh, key, hash, asked, content, err)
	}
}

// heldLocked is the entry of a key, now held by the rule b; nil if there is none,
// or none that b lets be shown any more.
func (sh *shard) heldLocked(hash uint64, key *Key, b *bound, now Moment) *entry {
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

// keepLocked holds what a node answered, if it may be held, and lets go what it
// replaces. It returns the content, to be given to readers: the entry's own, if
// there is one.
func (s *Store) keepLocked(sh *shard, key Key, hash uint64, asked Moment, content []byte, err error) []byte {
	set := s.rules.Load()
	b, now := set.of(&key), s.clock.now()
	errno := vfs.Errno(err)
	if errno != 0 && (s.silent(err) || !answers[errno]) {
		return nil // it says nothing about the file
	}
	old := sh.find(hash, &key)
	if old != nil {
		if old.asked > asked {
			return content
		}
		sh.removeLocked(old)
	}
	e := &entry{hash: hash, process: maphash.Comparable(s.seed, key.Process), key: key, errno: errno, asked: asked, size: sizeOf(&key, content)}
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

// Unanswered tells whether an error says that a node does not answer: it is down,
// cannot be reached, or a deadline has passed.
func Unanswered(err error) bool {
	switch vfs.Errno(err) {
	case syscall.EHOSTDOWN, syscall.ETIMEDOUT, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ENOTCONN,
		syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETRESET, syscall.ESHUTDOWN:
		return true
	}
	return false
}
