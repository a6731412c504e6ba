package cachepolicy

import (
	"hash/maphash"
	"time"
)

// A Process is one process of one node, or the node's machine itself where PID
// is 0. What of this changes when a name comes to stand for something else must be
// in it: Boot when a node is booted again, Start when a pid is used again.
type Process struct {
	Node  string
	Boot  string // the node's boot id, or whatever else tells its boots apart
	PID   int    // as the node's kernel has it
	Start uint64 // the process's start time, or whatever else tells it from others of its pid
}

// A Key names what is held: a file as it was read for somebody. Its texts, Path
// apart, are held as they are: they should be no parts of much larger ones.
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
