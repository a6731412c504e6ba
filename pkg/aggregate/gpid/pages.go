package gpid

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// pageSize is how many numbers a page has.
	pageSize = 100
	// allPages is how many pages there are in the space of a pid_t, and mostPages how many of
	// them are dealt: those below Elsewhere.
	allPages  = (1<<31 - Stride) / pageSize
	mostPages = (Elsewhere - Stride) / pageSize
	// lastNative is the last page of native pids.
	lastNative = MaxPID / pageSize
	// rest is how long a page is left alone before it is given back.
	rest = 10 * time.Minute
)

// pages are the numbers that are dealt in pages, and who has them.
type pages struct {
	now     func() time.Time
	total   uint32                            // pages that may be dealt
	owner   sparse[atomic.Uint64]             // by page of numbers, see packOwner
	byIndex sparse[atomic.Pointer[nodePages]] // by index

	mu      sync.Mutex // guards what is below, and changes to what is above
	fresh   uint32     // pages from here on were never dealt; those below are dealt or free
	free    []uint32   // given back, the longest ago first
	file    *journal   // nil is nowhere
	refused int64      // how often there was no page for a pid
	err     error      // why there was none at last; nil is that there was one
}

// nodePages is which pages one node has.
type nodePages struct {
	dealt  sparse[atomic.Uint32] // by page of native pids: page of numbers and 1
	vacant map[uint32]time.Time  // since when nothing was seen in it; guarded by pages.mu
}

// An owner is packed into a word: the node's index, the page of its pids, whether it
// has been asked for since the last look, and that there is one.
const (
	ownerValid   = 1 << 63
	ownerTouched = 1 << 62
)

func packOwner(index int, page uint32) uint64 { return ownerValid | uint64(index)<<32 | uint64(page) }

func unpackOwner(w uint64) (index int, page uint32) { return int(w>>32) & maxPagedIndex, uint32(w) }

func newPages(total uint32, now func() time.Time) *pages {
	return &pages{
		now: now, total: total,
		owner: newSparse[atomic.Uint64](allPages), byIndex: newSparse[atomic.Pointer[nodePages]](maxPagedIndex),
	}
}

// gpid is the number of a native pid of a node, dealing a page if need be.
func (s *pages) gpid(index int, pid PID) GPID {
	if pid < 1 || pid > MaxPID || index < 1 || index > maxPagedIndex {
		return 0
	}
	page := uint32(pid) / pageSize
	p, ok := s.find(index, page)
	if ok {
		if w := s.owner.at(p); w.Load()&ownerTouched == 0 {
			w.Or(ownerTouched)
		}
	} else if p, ok = s.deal(index, page); !ok {
		return 0
	}
	return Stride + GPID(p)*pageSize + GPID(pid)%pageSize
}

// split is the node and native pid of a number that was dealt.
func (s *pages) split(g GPID) (index int, pid PID, ok bool) {
	if g < Stride {
		return 0, 0, false
	}
	w := s.owner.at(uint32(g-Stride) / pageSize).Load()
	index, page := unpackOwner(w)
	pid = PID(page)*pageSize + PID(g-Stride)%pageSize
	return index, pid, w&ownerValid != 0 && pid >= 1 && pid <= MaxPID
}

// highest is above every number that was dealt so far.
func (s *pages) highest() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stride + int(s.fresh)*pageSize
}

// node is a node's pages, nil if it has none.
func (s *pages) node(index int) *nodePages { return s.byIndex.at(uint32(index)).Load() }

// find is the page of numbers that a page of a node's pids has.
func (s *pages) find(index int, page uint32) (p uint32, ok bool) {
	if n := s.node(index); n != nil {
		p = n.dealt.at(page).Load()
	}
	return p - 1, p != 0
}

// deal gives a page of a node's pids a page of numbers.
func (s *pages) deal(index int, page uint32) (p uint32, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.find(index, page); ok { // dealt by another, meanwhile
		return p, true
	}
	p, again := s.fresh, s.fresh >= s.total
	s.err = nil
	switch {
	case !again:
	case len(s.free) > 0:
		p = s.free[0]
	default:
		s.err = fmt.Errorf("all global pids are in use: %d pages of %d", s.total, pageSize)
	}
	if s.err == nil {
		s.err = s.noteLocked(record{index: uint32(index), page: page, p: p})
	}
	if s.err != nil {
		s.refused++
		return 0, false
	}
	if again {
		s.free = s.free[1:]
	} else {
		s.fresh++
	}
	s.putLocked(index, page, p)
	return p, true
}

// putLocked enters that a page is dealt. Its owner is there before the number can be
// found.
func (s *pages) putLocked(index int, page, p uint32) {
	s.owner.need(p).Store(packOwner(index, page) | ownerTouched)
	n := s.node(index)
	if n == nil {
		n = &nodePages{dealt: newSparse[atomic.Uint32](lastNative), vacant: make(map[uint32]time.Time)}
		s.byIndex.need(uint32(index)).Store(n)
	}
	n.dealt.need(page).Store(p + 1)
}

// takeLocked enters that a page is given back. Its number cannot be found before the
// owner is gone.
func (s *pages) takeLocked(index int, page, p uint32) {
	n := s.node(index)
	n.dealt.at(page).Store(0)
	delete(n.vacant, page)
	s.owner.at(p).Store(0)
	if p < s.total {
		s.free = append(s.free, p)
	}
}

// seen says which processes a node has, by rising pid.
func (s *pages) seen(index int, pids []int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.node(index)
	if n == nil {
		return
	}
	now := s.now()
	for page, dealt := range n.dealt.all() {
		if dealt.Load() == 0 {
			continue
		}
		for len(pids) > 0 && uint32(pids[0])/pageSize < page {
			pids = pids[1:]
		}
		p := dealt.Load() - 1
		w := s.owner.at(p)
		since, vacant := n.vacant[page]
		switch {
		case len(pids) > 0 && uint32(pids[0])/pageSize == page, w.Load()&ownerTouched != 0:
			w.And(^uint64(ownerTouched))
			delete(n.vacant, page)
		case !vacant:
			n.vacant[page] = now
		case now.Sub(since) >= rest:
			if err := s.noteLocked(record{index: uint32(index), page: page, p: p | gone}); err == nil {
				s.takeLocked(index, page, p)
			}
		}
	}
}
