// Package paged deals global pids for more nodes than fixed numbers have room for.
//
// # Pages
//
// The numbers from [First] to 2147483647 are dealt in pages of [PageSize] to pages of
// native pids: native pid 3456 of a node is the 56th number of whatever page that node's
// pids 3400 to 3499 have. A page is dealt when the first of them is asked for. There are
// 21 million, which is over 2,000 for each of 10,000 nodes.
//
// A page is given back when nothing has been asked for in it, and its node has shown no
// process in it, for [Rest]; and what was given back is dealt anew only when there is no
// page left that never was, the longest free first. So a number does not soon name
// another process. When there is no page at all a pid has no number, which is counted
// and for the caller to tell.
//
// # The journal
//
// Which page is whose is kept in a file, so that a restart moves no number: a record of
// 16 bytes for each page dealt and given back, little endian,
//
//	4  index of the node
//	4  page of native pids
//	4  page of numbers; bit 31: it is given back
//	4  CRC-32 (IEEE) of the 12 bytes before
//
// behind the 8 bytes "agrpages". It is written before a number is given out, so that it
// survives the end of the process, and synced within a second, for that of the machine.
// What is not whole at its end is cut off. It is written anew, in place of the old one,
// when it is opened and most of it is about pages that were given back.
//
// A Space may be used concurrently; to look a number up takes no lock.
package paged

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// First is the least number that is dealt.
	First = 10_000_000
	// PageSize is how many numbers a page has.
	PageSize = 100
	// Pages is how many pages there are.
	Pages = (1<<31 - First) / PageSize
	// MaxPID is the largest native pid, see PID_MAX_LIMIT of linux/threads.h.
	MaxPID = 1 << 22
	// MaxIndex is the largest index of a node.
	MaxIndex = 1<<20 - 1
	// Rest is how long a page is left alone before it is given back.
	Rest = 10 * time.Minute
)

const (
	nodeChunk = 64   // pages of native pids in a piece of a node's table
	spaceSize = 1024 // pages of numbers in a piece of the space's
)

// A Space is the numbers and who has them.
type Space struct {
	now   func() time.Time
	total uint32 // pages that may be dealt
	nodes atomic.Pointer[[]*nodePages]
	owner [Pages/spaceSize + 1]atomic.Pointer[[spaceSize]atomic.Uint64]

	mu    sync.Mutex
	fresh uint32   // pages from here on were never dealt
	free  []uint32 // given back, the longest ago first
	file  *journal // nil is nowhere
	full  atomic.Int64
	err   error // why the journal cannot be written
}

// nodePages is which pages one node has.
type nodePages struct {
	page   [(MaxPID/PageSize)/nodeChunk + 1]atomic.Pointer[[nodeChunk]atomic.Uint32] // by page of native pids: page of numbers and 1
	dealt  map[uint32]uint32                                                         // the same; guarded by Space.mu
	vacant map[uint32]time.Time                                                      // since when nothing was seen in it; guarded by Space.mu
}

// An owner is packed into a word: the node's index, the page of its pids, whether it
// has been asked for since the last look, and that there is one.
const (
	ownerValid   = 1 << 63
	ownerTouched = 1 << 62
)

func packOwner(index int, page uint32) uint64 { return ownerValid | uint64(index)<<32 | uint64(page) }

func unpackOwner(w uint64) (index int, page uint32) { return int(w>>32) & MaxIndex, uint32(w) }

// New is a space that is kept nowhere.
func New() *Space { return newSpace(Pages, time.Now) }

func newSpace(total uint32, now func() time.Time) *Space {
	s := &Space{now: now, total: total}
	s.nodes.Store(new([]*nodePages))
	return s
}

// GPID is the number of a native pid of a node, dealing a page if need be. It is 0 for
// what no kernel gives out, and where there is no page.
func (s *Space) GPID(index int, pid int32) int32 {
	if pid < 1 || pid > MaxPID || index < 1 || index > MaxIndex {
		return 0
	}
	page := uint32(pid) / PageSize
	if n := s.node(index); n != nil {
		if c := n.page[page/nodeChunk].Load(); c != nil {
			if p := c[page%nodeChunk].Load(); p != 0 {
				w := s.word(p - 1)
				if w.Load()&ownerTouched == 0 {
					w.Or(ownerTouched)
				}
				return number(p-1, pid)
			}
		}
	}
	p, ok := s.deal(index, page)
	if !ok {
		return 0
	}
	return number(p, pid)
}

func number(p uint32, pid int32) int32 { return First + int32(p)*PageSize + pid%PageSize }

// Split is the node and native pid of a number that was dealt.
func (s *Space) Split(gpid int32) (index int, pid int32, ok bool) {
	if gpid < First {
		return 0, 0, false
	}
	p := uint32(gpid-First) / PageSize
	if p >= Pages {
		return 0, 0, false
	}
	c := s.owner[p/spaceSize].Load()
	if c == nil {
		return 0, 0, false
	}
	w := c[p%spaceSize].Load()
	if w&ownerValid == 0 {
		return 0, 0, false
	}
	index, page := unpackOwner(w)
	pid = int32(page)*PageSize + (gpid-First)%PageSize
	return index, pid, pid >= 1 && pid <= MaxPID
}

// node is a node's pages, nil if it has none.
func (s *Space) node(index int) *nodePages {
	all := *s.nodes.Load()
	if index >= len(all) {
		return nil
	}
	return all[index]
}

// word is where the owner of a page that was dealt stands.
func (s *Space) word(p uint32) *atomic.Uint64 { return &s.owner[p/spaceSize].Load()[p%spaceSize] }

// Full is how often there was no page for a pid.
func (s *Space) Full() int64 { return s.full.Load() }

// Err is why numbers cannot be given out any more; nil is that they can.
func (s *Space) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// errFull is told by Err where all pages are in use.
var errFull = errors.New("all global pids are in use")

// deal gives a page of a node's pids a page of numbers.
func (s *Space) deal(index int, page uint32) (uint32, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.node(index); n != nil {
		if p, ok := n.dealt[page]; ok { // by another, meanwhile
			return p, true
		}
	}
	var p uint32
	switch {
	case s.fresh < s.total:
		p = s.fresh
	case len(s.free) > 0:
		p = s.free[0]
	default:
		s.full.Add(1)
		s.err = fmt.Errorf("%w: %d pages of %d", errFull, s.total, PageSize)
		return 0, false
	}
	if err := s.note(record{index: uint32(index), page: page, p: p}); err != nil {
		s.err = err
		s.full.Add(1)
		return 0, false
	}
	if s.fresh < s.total {
		s.fresh++
	} else {
		s.free = s.free[1:]
	}
	s.err = nil
	s.put(index, page, p)
	return p, true
}

// put enters that a page is dealt. Its owner is there before the number can be found.
func (s *Space) put(index int, page, p uint32) {
	c := s.owner[p/spaceSize].Load()
	if c == nil {
		c = new([spaceSize]atomic.Uint64)
		s.owner[p/spaceSize].Store(c)
	}
	c[p%spaceSize].Store(packOwner(index, page) | ownerTouched)
	n := s.node(index)
	if n == nil {
		n = &nodePages{dealt: make(map[uint32]uint32), vacant: make(map[uint32]time.Time)}
		old := *s.nodes.Load()
		all := make([]*nodePages, max(len(old), index+1))
		copy(all, old)
		all[index] = n
		s.nodes.Store(&all)
	}
	n.dealt[page] = p
	delete(n.vacant, page)
	piece := n.page[page/nodeChunk].Load()
	if piece == nil {
		piece = new([nodeChunk]atomic.Uint32)
		n.page[page/nodeChunk].Store(piece)
	}
	piece[page%nodeChunk].Store(p + 1)
}

// take enters that a page is given back. Its number cannot be found before the owner
// is gone.
func (s *Space) take(index int, page, p uint32) {
	n := s.node(index)
	n.page[page/nodeChunk].Load()[page%nodeChunk].Store(0)
	delete(n.dealt, page)
	delete(n.vacant, page)
	s.word(p).Store(0)
	s.free = append(s.free, p)
}

// Seen says which processes a node has, by rising pid. Pages in which nothing has been
// seen or asked for in a while are given back.
func (s *Space) Seen(index int, pids func(yield func(int32) bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.node(index)
	if n == nil {
		return
	}
	used := make(map[uint32]bool, len(n.dealt))
	for pid := range pids {
		used[uint32(pid)/PageSize] = true
	}
	now := s.now()
	for page, p := range n.dealt {
		w := s.word(p)
		since, vacant := n.vacant[page]
		switch {
		case used[page], w.Load()&ownerTouched != 0:
			w.And(^uint64(ownerTouched))
			delete(n.vacant, page)
		case !vacant:
			n.vacant[page] = now
		case now.Sub(since) >= Rest:
			if err := s.note(record{index: uint32(index), page: page, p: p | gone}); err == nil {
				s.take(index, page, p)
			}
		}
	}
}
