package sums

import (
	"maps"
	"slices"
	"sync"
)

// A layout is the lines of a file that have counters. It never changes once it is
// shared.
type layout struct {
	keys  []string
	at    []int // the index of each line's first number
	total int   // how many numbers there are
	find  map[string]int
}

// Layouts are those that the nodes of a cluster share: most have the same kernel. The
// zero Layouts is empty. It may be used concurrently.
type Layouts struct {
	mu  sync.Mutex
	all []*layout // guarded by mu; the one asked for last comes last
}

// maxLayouts is how many layouts are remembered; a node with another one has it for
// itself.
const maxLayouts = 64

// share is l, or one like it that others have.
func (s *Layouts) share(l *layout) *layout {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.all, func(other *layout) bool {
		return slices.Equal(other.keys, l.keys) && slices.Equal(other.at, l.at) && other.total == l.total
	})
	switch {
	case i >= 0:
		l = s.all[i]
		s.all = slices.Delete(s.all, i, i+1)
	case len(s.all) >= maxLayouts:
		s.all = slices.Delete(s.all, 0, 1)
	}
	s.all = append(s.all, l)
	return l
}

// span is which numbers are those of line i.
func (l *layout) span(i int) (from, to int) {
	if i+1 < len(l.at) {
		return l.at[i], l.at[i+1]
	}
	return l.at[i], l.total
}

func (l *layout) clone() *layout {
	return &layout{keys: slices.Clone(l.keys), at: slices.Clone(l.at), total: l.total, find: maps.Clone(l.find)}
}

// grow adds a line and returns its index.
func (l *layout) grow(key string, columns int) int {
	i := len(l.keys)
	l.keys, l.at = append(l.keys, key), append(l.at, l.total)
	l.find[key] = i
	l.total += columns
	return i
}
