package cachepolicy

import (
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// An entry is what is held under one key. What it holds does not change: a newer
// value is another entry. Readers find and read it without a lock.
type entry struct {
	next  atomic.Pointer[entry] // in its bucket; stays when the entry has left it
	bound atomic.Pointer[bound] // by what rule it is held
	uses  atomic.Uint32         // since it was last looked at for eviction, up to maxUses
	hits  atomic.Uint32         // about: see countHit

	hash    uint64 // of all of the key
	process uint64 // the hash of the key's process
	key     Key
	content []byte
	errno   syscall.Errno // the node's answer, if it was no content
	asked   Moment        // when the node was asked
	size    int64         // what the entry counts for, in bytes

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

// fresh tells whether an entry may be given out by a rule.
func (e *entry) fresh(b *bound, now Moment) bool {
	life := b.cache
	if e.errno != 0 {
		life = b.negative
	}
	return now.after(e.asked) < life
}

// useful tells whether it may be given out if the node does not answer.
func (e *entry) useful(b *bound, now Moment) bool {
	if e.errno != 0 {
		return e.fresh(b, now)
	}
	return now.after(e.asked) < b.showable
}

// A Value is what a reader gets. With an error, it says how old that is.
type Value struct {
	// Content is the file; nobody changes it.
	Content []byte
	// Age is how long ago the node was asked for it.
	Age time.Duration
	// Keep is how long it, or the error, may be given out again without asking the
	// store; zero for what is stale or never held.
	Keep time.Duration
	// Stale is that it is older than its rule's cache, and the node does not answer.
	Stale bool
}

// value is what a reader gets of an entry that is fresh.
func (e *entry) value(b *bound, now Moment) (Value, error) {
	age := now.after(e.asked)
	if e.errno != 0 {
		return Value{Age: age, Keep: max(0, b.negative-age)}, e.errno
	}
	return Value{Content: e.content, Age: age, Keep: min(b.cache-age, Forever)}, nil
}
