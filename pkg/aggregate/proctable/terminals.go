package proctable

import (
	"sync"

	"github.com/aggrfs/aggrfs/internal/procfile"
)

// Terminals number the terminals of all nodes but the head, so that those of two machines that
// have one number at home are two: with the major number of the node's own, and a minor that no
// terminal has (Linux has pseudo-terminals up to 2^20, and gives out the lowest that is free).
// What was dealt stays for as long as the front end runs. They may be used concurrently.
type Terminals struct {
	mu      sync.RWMutex
	by      map[terminal]int64 // guarded by mu
	all     []terminal         // guarded by mu; by minor number less firstTerminal
	ofNodes map[int]int        // guarded by mu; how many a node has
}

// A terminal is one of a node, by its index.
type terminal struct {
	index int
	tty   int64
}

const (
	// firstTerminal is the first minor number that is dealt, and lastTerminal the last one: with
	// more the number would be negative, which programs take for none.
	firstTerminal, lastTerminal = 1 << 18, 1<<19 - 1
	// maxTerminals is how many of one node have numbers of their own; all others share one.
	maxTerminals = 4096
	// otherTerminals is what they are.
	otherTerminals = -1
)

// Number is that of a node's terminal, 0 for none.
func (s *Terminals) Number(index int, tty int64) int64 {
	if tty == 0 || index == 0 {
		return tty
	}
	t := terminal{index, tty}
	s.mu.RLock()
	n, ok := s.by[t]
	s.mu.RUnlock()
	if ok {
		return n
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by, s.ofNodes = make(map[terminal]int64), make(map[int]int)
	}
	if s.ofNodes[index] >= maxTerminals {
		t.tty = otherTerminals
	}
	if n, ok := s.by[t]; ok {
		return n
	}
	major, _ := procfile.TTYDevice(tty)
	minor := firstTerminal + len(s.all)
	if minor > lastTerminal {
		return procfile.TTYNumber(major, lastTerminal) // one of too many
	}
	n = procfile.TTYNumber(major, uint32(minor))
	s.by[t] = n
	s.all = append(s.all, t)
	s.ofNodes[index]++
	return n
}

// Native is the number that the terminal of that number has on its own node; a number that was
// not dealt is the head's.
func (s *Terminals) Native(n int64) int64 {
	_, minor := procfile.TTYDevice(n)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if i := int(minor) - firstTerminal; i >= 0 && i < len(s.all) {
		return max(0, s.all[i].tty)
	}
	return n
}
