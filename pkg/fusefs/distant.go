package fusefs

import (
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// distant is what pages is where notifications go by a Notifier: nothing is known to have
// happened before its done says so, and that may never be. So:
//
//   - The content is not put into the pages. Who opens a file with another content than
//     theirs, with no other file open on them, has the kernel drop the pages when it hears of
//     the open file (OPEN is answered without FOPEN_KEEP_CACHE, see fuse_open in
//     fs/fuse/file.c); READs then fill them. Until one of these shows that the kernel has
//     heard of it, all who open that content do the same.
//   - size is again what every answer says. When it changes, the kernel is told to ignore the
//     answers that said the former one, and until it is known to have been told (settled)
//     files use direct I/O, which no size bounds. Answers that are made meanwhile say the new size:
//     what the kernel believes of them and of the former ones is invalid once it has heard.
//   - One notification at a time is under way. A size that changes meanwhile has another sent
//     afterwards, with the next question.
//
// A content that may not be kept uses direct I/O.
type distant struct {
	mu      sync.Mutex
	size    uint64    // what every answer says
	told    bool      // one has said it
	unsure  bool      // the kernel may believe in another size
	sending bool      // a notification is under way
	changed bool      // size has changed since that was sent
	fresh   time.Time // when the attributes told run out
	attrs   vfs.Attr  // those
	version uint64    // of the content in the pages; 0: unknown
	fill    uint64    // counts the contents that the pages have had
	filled  bool      // the kernel has dropped what was in the pages before
	open    int       // open files that use the pages
}

func newDistant() pager { return new(distant) }

func (p *distant) attr(n notices, id uint64, a vfs.Attr, keep time.Duration, exact bool) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == 0 && exact {
		p.resizeLocked(a.Size)
	}
	p.settleLocked(n, id)
	p.told = true
	p.attrs, p.fresh = a, time.Now().Add(keep)
	return p.size
}

func (p *distant) last() (vfs.Attr, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.attrs, p.open > 0
}

func (p *distant) use(n notices, id uint64, h vfs.Held) use {
	size, version := uint64(len(h.Content())), h.Version()
	p.mu.Lock()
	defer p.mu.Unlock()
	if size > maxPaged {
		return use{}
	}
	if p.open == 0 {
		p.resizeLocked(size)
	}
	p.settleLocked(n, id)
	if h.Keep() <= 0 || version == 0 || size != p.size || p.unsure || !time.Now().Before(p.fresh) {
		return use{}
	}
	switch {
	case version == p.version:
	case p.open > 0:
		return use{}
	default:
		p.version, p.filled = version, false
		p.fill++
	}
	p.open++
	if p.filled {
		return use{how: reused, fill: p.fill}
	}
	return use{how: renewed, fill: p.fill}
}

func (p *distant) arrived(u use) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u.fill == p.fill {
		p.filled = true
	}
}

func (p *distant) release(notices, uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open--; p.open == 0 && !p.filled {
		p.version = 0 // nobody has read: the answer to OPEN may not have been heard
	}
}

// resizeLocked makes size what is answered from now on. No file is open that uses the pages.
func (p *distant) resizeLocked(size uint64) {
	if size == p.size {
		return
	}
	p.size, p.version, p.filled = size, 0, false
	if p.told {
		p.unsure, p.changed = true, true
	}
}

// settleLocked has the kernel forget the sizes that it was told before.
func (p *distant) settleLocked(n notices, id uint64) {
	if !p.unsure || p.sending {
		return
	}
	p.sending, p.changed = true, false
	n.invalAll(id, func(err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.sending = false
		if err == nil && !p.changed {
			p.unsure = false
		}
	})
}
