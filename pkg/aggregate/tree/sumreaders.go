package tree

import (
	"math/big"
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
)

// A summed is one node's file that is part of a sum.
type summed struct {
	n    *proctable.Node
	name string
}

// sumReaders are who has read which node's files for a sum: to them, and to nobody else,
// what the node had counted is shown while it does not answer. The kernel of a node, and
// its administrator, may refuse a file to some.
type sumReaders struct {
	mu  sync.Mutex
	all map[string]*sumReader // guarded by mu; by vfs.Identity.Key
}

type sumReader struct {
	used time.Time
	read map[string]*big.Int // by file; a bit for each node, by its index
}

const (
	// maxSumReaders bounds how many are remembered, and sumReaderFor how long one is who
	// reads no sums any more.
	maxSumReaders = 1024
	sumReaderFor  = 24 * time.Hour
)

// note notes that the node has given the file to that reader.
func (s *sumReaders) note(reader string, file summed, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.all[reader]
	if r == nil {
		if s.all == nil {
			s.all = map[string]*sumReader{}
		}
		if len(s.all) >= maxSumReaders {
			s.dropOldestLocked()
		}
		r = &sumReader{read: map[string]*big.Int{}}
		s.all[reader] = r
	}
	r.used = now
	r.set(file, 1)
}

func (r *sumReader) set(file summed, bit uint) {
	nodes := r.read[file.name]
	if nodes == nil {
		nodes = new(big.Int)
		r.read[file.name] = nodes
	}
	if nodes.Bit(file.n.Index) != bit {
		nodes.SetBit(nodes, file.n.Index, bit)
	}
}

// dropOldestLocked forgets who has read no sum for the longest time.
func (s *sumReaders) dropOldestLocked() {
	oldest := ""
	for key, r := range s.all {
		if oldest == "" || r.used.Before(s.all[oldest].used) {
			oldest = key
		}
	}
	delete(s.all, oldest)
}

// forget notes that the node has refused the file to that reader.
func (s *sumReaders) forget(reader string, file summed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.all[reader]; r != nil {
		r.set(file, 0)
	}
}

// has reports whether the node has given the file to that reader when it was asked last.
func (s *sumReaders) has(reader string, file summed, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.all[reader]
	if r == nil {
		return false
	}
	r.used = now
	nodes := r.read[file.name]
	return nodes != nil && nodes.Bit(file.n.Index) == 1
}

// tidy forgets who has read no sums for long.
func (s *sumReaders) tidy(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, r := range s.all {
		if now.Sub(r.used) > sumReaderFor {
			delete(s.all, key)
		}
	}
}
