package cachepolicy

import (
	"hash/maphash"
	"time"
)

// SetPolicy puts another policy in force. Who asks from now on is answered by it
// alone; when SetPolicy returns, what it does not let be held is gone, and what is
// held is held by its rules and within its limits.
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
			sh.heldLocked(e.hash, &e.key, set.of(&e.key), now)
			if uint64(len(e.content)) > p.MaxEntry && sh.find(e.hash, &e.key) == e {
				sh.removeLocked(e)
			}
		}
		sh.shrinkLocked(int64(p.MaxBytes/shards), now)
		sh.mu.Unlock()
	}
}

// DropProcess lets everything go that is held of a process, and what is being
// fetched of it when it comes: the process has ended.
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

// DropNode lets everything go that is held of a node, but what is of the boot that
// is named; "" is none. It looks at all that is held.
func (s *Store) DropNode(node, but string) {
	of := func(p *Process) bool { return p.Node == node && (but == "" || p.Boot != but) }
	for i := range s.shards {
		s.shards[i].drop(func(e *entry) bool { return of(&e.key.Process) }, func(key *Key) bool { return of(&key.Process) })
	}
}

// Expire lets everything go that nobody may be shown any more, which otherwise
// stays until its place is needed. It looks at all that is held.
func (s *Store) Expire() {
	for i := range s.shards {
		s.shards[i].drop(func(e *entry) bool { return !e.useful(e.bound.Load(), s.clock.now()) }, nil)
	}
}

// drop lets entries go, and flights be of no use; nil is none of these.
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

// Info is what is held under a key, for people.
type Info struct {
	Size int           // of the content, in bytes
	Age  time.Duration // since the node was asked
	Hits int           // how often it was given out, to within a few for many
	Err  error         // what the node answered, where it was no content
}

// Held tells what is held under a key and may be given out. It counts as no use.
func (s *Store) Held(key Key) (Info, bool) {
	hash, sh := s.shardOf(&key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	b, now := s.rules.Load().of(&key), s.clock.now()
	e := sh.heldLocked(hash, &key, b, now)
	if e == nil {
		return Info{}, false
	}
	info := Info{Size: len(e.content), Age: now.after(e.asked), Hits: int(e.hits.Load())}
	if e.errno != 0 {
		info.Err = e.errno
	}
	return info, true
}
