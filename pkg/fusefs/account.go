package fusefs

import (
	"sync"
	"sync/atomic"

	"github.com/aggrfs/aggrfs/pkg/fusefs/device"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Limit is what the mounts on one account may hold at once, all together.
type Limit struct {
	// Requests is how many may be in flight. Others wait in the kernel's queue; one of each
	// mount is always carried out.
	Requests int
	// Inodes is how many objects the kernel may know: a new one is ENFILE then. The kernel
	// says which it has dropped, but whoever shares the device can keep that from the server.
	Inodes int64
	// Bytes is what is open: the contents of files, the entries of directories, and openSize for
	// each. To open another is ENFILE then.
	Bytes int64
}

// openSize is what an open file or directory takes beside what is in it, in bytes.
const openSize = 512

// An Account counts what several mounts hold, those of one user.
type Account struct {
	requests      *device.Load
	inodes, bytes counter
}

// NewAccount is one on which nothing is.
func NewAccount(l Limit) *Account {
	a := &Account{requests: device.NewLoad(l.Requests)}
	a.inodes.most, a.bytes.most = l.Inodes, l.Bytes
	return a
}

// A counter is how much there is of something, and how much there may be.
type counter struct {
	most int64
	now  atomic.Int64
}

// A share is what one mount has of a counter; of none, as a nil share is, it may have all it
// wants. What is left of it when the mount ends is given back by close.
type share struct {
	of *counter

	mu     sync.Mutex
	has    int64 // guarded by mu
	closed bool  // guarded by mu; nothing counts any more
}

// take reports whether there is room for n more, which count from then on.
func (s *share) take(n int64) bool {
	if s == nil || s.of == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return true
	}
	if s.of.now.Add(n) > s.of.most {
		s.of.now.Add(-n)
		return false
	}
	s.has += n
	return true
}

// give takes n off.
func (s *share) give(n int64) {
	if s == nil || s.of == nil || n == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.of.now.Add(-n)
		s.has -= n
	}
}

// close takes off what is left.
func (s *share) close() {
	if s.of == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.of.now.Add(-s.has)
	}
}

// shares are what a mount has of an account.
type shares struct {
	inodes, bytes share
	files, dirs   atomic.Int64 // that are open, see maxOpen
}

func newShares(a *Account) *shares {
	s := new(shares)
	if a != nil {
		s.inodes.of, s.bytes.of = &a.inodes, &a.bytes
	}
	return s
}

func (s *shares) close() {
	s.inodes.close()
	s.bytes.close()
}

// opening reports whether one more may be open, of what n counts.
func opening(n *atomic.Int64) bool {
	if n.Add(1) <= maxOpen {
		return true
	}
	n.Add(-1)
	return false
}

// payers are what a mount has of each account: of that of its owner, or where it is shared of each
// identity's.
type payers struct {
	of func(vfs.Identity) *Account

	mu  sync.Mutex
	all map[*Account]*shares // guarded by mu
}

func newPayers(cfg *Config) *payers {
	p := &payers{all: make(map[*Account]*shares)}
	if p.of = cfg.Accounts; p.of == nil || !cfg.Shared {
		p.of = func(vfs.Identity) *Account { return cfg.Account }
	}
	return p
}

// shares are those that an identity's use of the mount counts in.
func (p *payers) shares(who vfs.Identity) *shares {
	a := p.of(who)
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.all[a]
	if s == nil {
		s = newShares(a)
		p.all[a] = s
	}
	return s
}

// close takes what is left off all accounts.
func (p *payers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.all {
		s.close()
	}
}

// holds is what an open file or directory has in memory, in bytes.
func holds(h any) int64 {
	n := int64(openSize)
	switch h := h.(type) {
	case vfs.Held:
		n += int64(len(h.Content()))
	case vfs.Holder:
		n += h.Holds()
	}
	return n
}

// A pin is what a share has for something whose size changes.
type pin struct {
	share *share

	mu  sync.Mutex
	has int64 // guarded by mu
}

// set reports whether there is room for n in place of what there was; without room nothing
// changes.
func (p *pin) set(n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n > p.has && !p.share.take(n-p.has) {
		return false
	}
	p.share.give(max(p.has-n, 0))
	p.has = n
	return true
}
