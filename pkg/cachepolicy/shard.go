package cachepolicy

import (
	"math"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// shards is how many parts a store has.
const shards = 16

// A shard is one part of a store: a table of entries, which readers look into
// without a lock, and lists by which entries go when there is no more room.
//
// The lists are those of the 2Q algorithm (Johnson and Shasha, 1994): what is new
// comes to recent; what is asked for again before it leaves that, or soon after
// (ghosts), to frequent. A reader only leaves a mark on an entry; the marks are
// looked at when an entry would have to go: one that was used goes to the other end
// instead.
//
// Where there is no lock, next and the buckets may be stale: an entry that is there
// may not be found, for which one looks again with the lock, but none is found that
// is not what it was made as.
type shard struct {
	table atomic.Pointer[buckets]

	mu       sync.Mutex
	count    int // entries
	bytes    int64
	fresh    int64                            // bytes of those in recent
	recent   *simplelru.LRU[*entry, struct{}] // by age
	frequent *simplelru.LRU[*entry, struct{}] // by use
	ghosts   *simplelru.LRU[uint64, struct{}] // hashes of what left recent unused
	ofs      map[uint64]*entry                // the latest of each process, by the process's hash
	flights  map[Key]*fetching
}

type buckets []atomic.Pointer[entry] // their number is a power of two

const firstBuckets = 64

func (sh *shard) init() {
	table := make(buckets, firstBuckets)
	sh.table.Store(&table)
	sh.recent, sh.frequent, sh.ghosts = newList[*entry](), newList[*entry](), newList[uint64]()
	sh.ofs, sh.flights = make(map[uint64]*entry), make(map[Key]*fetching)
}

// newList is a list that grows; what must go is decided here.
func newList[K comparable]() *simplelru.LRU[K, struct{}] {
	l, err := simplelru.NewLRU[K, struct{}](math.MaxInt, nil)
	if err != nil {
		panic(err) // the size is positive
	}
	return l
}

// find finds an entry; without the lock it may miss one.
func (sh *shard) find(hash uint64, key *Key) *entry {
	table := *sh.table.Load()
	for e := table[hash&uint64(len(table)-1)].Load(); e != nil; e = e.next.Load() {
		if e.hash == hash && e.key == *key {
			return e
		}
	}
	return nil
}

// addLocked puts an entry into the table and a list: frequent if its key was there
// already, or left recent not long ago.
func (sh *shard) addLocked(e *entry, known bool) {
	if sh.count >= len(*sh.table.Load()) {
		sh.growLocked()
	}
	table := *sh.table.Load()
	bucket := &table[e.hash&uint64(len(table)-1)]
	e.next.Store(bucket.Load())
	bucket.Store(e)
	sh.count++
	sh.bytes += e.size
	if sh.ghosts.Remove(e.hash) || known {
		e.list = sh.frequent
	} else {
		e.list = sh.recent
		sh.fresh += e.size
	}
	e.list.Add(e, struct{}{})
	if e.earlier = sh.ofs[e.process]; e.earlier != nil {
		e.earlier.later = e
	}
	sh.ofs[e.process] = e
	f := e.bound.Load().figures
	f.entries.Add(1)
	f.bytes.Add(e.size)
}

// growLocked doubles the table. Readers of a bucket may be led into another one,
// and not find what they look for there.
func (sh *shard) growLocked() {
	old := *sh.table.Load()
	table := make(buckets, 2*len(old))
	for i := range old {
		for e := old[i].Load(); e != nil; {
			next := e.next.Load()
			bucket := &table[e.hash&uint64(len(table)-1)]
			e.next.Store(bucket.Load())
			bucket.Store(e)
			e = next
		}
	}
	sh.table.Store(&table)
}

// removeLocked takes an entry out.
func (sh *shard) removeLocked(e *entry) {
	table := *sh.table.Load()
	at := &table[e.hash&uint64(len(table)-1)]
	for one := at.Load(); one != e; one = at.Load() {
		at = &one.next
	}
	at.Store(e.next.Load())
	sh.count--
	sh.bytes -= e.size
	if e.list.Remove(e); e.list == sh.recent {
		sh.fresh -= e.size
	}
	switch {
	case e.later != nil:
		e.later.earlier = e.earlier
	case e.earlier != nil:
		sh.ofs[e.process] = e.earlier
	default:
		delete(sh.ofs, e.process)
	}
	if e.earlier != nil {
		e.earlier.later = e.later
	}
	e.earlier, e.later = nil, nil
	f := e.bound.Load().figures
	f.entries.Add(-1)
	f.bytes.Add(-e.size)
}

// bindLocked puts an entry under another rule.
func (sh *shard) bindLocked(e *entry, b *bound) {
	before := e.bound.Swap(b)
	before.figures.entries.Add(-1)
	before.figures.bytes.Add(-e.size)
	b.figures.entries.Add(1)
	b.figures.bytes.Add(e.size)
}

// shrinkLocked makes entries go until the rest fits.
func (sh *shard) shrinkLocked(limit int64, now Moment) {
	const (
		share  = 4  // of limit, a fourth is for recent
		passed = 32 // how many that are in use are passed over for one that goes
	)
	for skip := passed; sh.bytes > limit; {
		if sh.frequent.Len() == 0 || sh.fresh > limit/share {
			e, _, _ := sh.recent.GetOldest()
			b := e.bound.Load()
			if e.uses.Load() > 0 && e.useful(b, now) {
				sh.recent.Remove(e)
				sh.fresh -= e.size
				e.uses.Store(0)
				e.list = sh.frequent
				e.list.Add(e, struct{}{})
				continue
			}
			sh.removeLocked(e)
			b.figures.evicted.Add(1)
			for sh.ghosts.Add(e.hash, struct{}{}); sh.ghosts.Len() > sh.count/2; {
				sh.ghosts.RemoveOldest()
			}
			continue
		}
		e, _, _ := sh.frequent.GetOldest()
		b := e.bound.Load()
		if u := e.uses.Load(); u > 0 && skip > 0 && e.useful(b, now) {
			skip--
			e.uses.Store(u - 1)
			sh.frequent.Get(e)
			continue
		}
		sh.removeLocked(e)
		b.figures.evicted.Add(1)
		skip = passed
	}
}

// An entry is what is cached under one key. It does not change: a newer value is
// another entry. Readers find and read it without a lock.
type entry struct {
	next  atomic.Pointer[entry] // in its bucket; stays when the entry has left it
	bound atomic.Pointer[bound] // the rule that it is cached by
	uses  atomic.Uint32         // since it was last looked at for eviction, up to maxUses
	hits  atomic.Uint32         // about: see countHit

	hash      uint64 // of all of the key
	process   uint64 // the hash of the key's process
	key       Key
	content   []byte
	errno     syscall.Errno // the node's answer, if it was no content
	requested Moment        // when the node was asked
	size      int64         // what the entry counts for, in bytes

	// The rest is guarded by the shard's lock.
	list    *simplelru.LRU[*entry, struct{}] // recent or frequent
	later   *entry                           // the next one of the same process
	earlier *entry                           // the one before
}

const (
	maxUses = 3
	// entryCost is what an entry takes besides its content and the texts of its key,
	// in bytes: the entry itself, its places in the table, in a list and among the
	// entries of its process, with the slack that maps have.
	entryCost = 416
)

// sizeOf is what an entry takes, in bytes.
func sizeOf(key *Key, content []byte) int64 {
	size := entryCost
	for _, n := range [...]int{len(key.Node), len(key.Boot), len(key.Path), len(key.Reader), len(content)} {
		size += (n + n/8 + 15) &^ 15 // the allocator's sizes are at most an eighth apart
	}
	return int64(size)
}

// fresh reports whether an entry may be given out by a rule.
func (e *entry) fresh(b *bound, now Moment) bool {
	life := b.cache
	if e.errno != 0 {
		life = b.negative
	}
	return now.after(e.requested) < life
}

// useful reports whether it may be given out if the node does not answer.
func (e *entry) useful(b *bound, now Moment) bool {
	if e.errno != 0 {
		return e.fresh(b, now)
	}
	return now.after(e.requested) < b.showable
}

// A Value is what a reader gets. With an error, it says how old that is.
type Value struct {
	// Content is the file; nobody changes it.
	Content []byte
	// Age is how long ago the node was asked for it.
	Age time.Duration
	// Keep is how long it, or the error, may be given out again without asking the
	// store, its TTL; zero for what is stale or never cached.
	Keep time.Duration
	// Stale is that it is older than its rule's cache, and the node does not answer.
	Stale bool
}

// value is what a reader gets of an entry that is fresh.
func (e *entry) value(b *bound, now Moment) (Value, error) {
	age := now.after(e.requested)
	if e.errno != 0 {
		return Value{Age: age, Keep: max(0, b.negative-age)}, e.errno
	}
	return Value{Content: e.content, Age: age, Keep: min(b.cache-age, Forever)}, nil
}
