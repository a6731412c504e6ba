package fusefs

import (
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// maxPaged is the largest file that goes through the page cache, in bytes:
// beyond it, pushing the pages costs more than the reads it saves.
const maxPaged = 64 << 10

// A pager decides how the kernel's page cache is used for one file. There are pages, and
// distant ones.
type pager interface {
	// attr is the size to answer for attributes got from the tree, which the kernel will
	// keep for keep; exact is whether the tree knows the size.
	attr(n notices, id uint64, a vfs.Attr, keep time.Duration, exact bool) uint64
	// last is the last known attributes, if a file that uses the pages is open.
	last() (vfs.Attr, bool)
	// use decides whether a file just opened with that content goes through the page cache.
	use(n notices, id uint64, h vfs.Held) use
	// arrived notes that the answer to OPEN of a file that renews the pages has been heard.
	arrived(u use)
	// release ends the use of the pages by one open file that is not direct.
	release(n notices, id uint64)
}

// use is how an open file uses the pages.
type use struct {
	how  how
	fill uint64 // which filling of the pages, see distant
}

type how int

const (
	direct  how = iota // not at all
	reused             // they have its content
	renewed            // the kernel drops them when it hears of the open file, and reads
)

// flags are what OPEN is answered with.
func (u use) flags() uint32 {
	switch u.how {
	case reused:
		return fuse.FOPEN_KEEP_CACHE
	case renewed:
		return 0
	}
	return fuse.FOPEN_DIRECT_IO
}

// pages is what the kernel's page cache holds of one file, as far as it matters.
//
// A file's content is fixed at open, but the kernel has one set of pages for
// all opens of an inode, and one size that bounds them. So:
//
//   - All open files that use the pages have the same content (version). A file
//     opened with another content meanwhile uses direct I/O.
//   - size is the only size that the kernel can believe. Every answer says it, and
//     it changes only together with a notification that makes the kernel ignore all
//     answers under way with the former one. (The kernel compares when a
//     question was asked with when the inode last changed, fi->attr_version in
//     fs/fuse/inode.c.)
//   - The content is put into the pages before OPEN is answered, so that no READ
//     comes: a page is complete for the kernel if what is stored ends where the
//     file does, and a file that is longer than the kernel knew grows by it. One
//     that is shorter must be forgotten first; then the kernel asks for the
//     attributes, then for the bytes, and the file's content answers.
//   - Reading to the end makes the kernel check the size, and ask for
//     attributes that have run out. So the pages are used only if the attributes
//     are good for now: otherwise direct I/O is cheaper.
//
// A content that may not be kept at all uses the pages for one open at a time
// and is wiped with zeros at its close: two stores are cheaper than two reads.
type pages struct {
	mu      sync.Mutex
	size    uint64    // what every answer says
	most    uint64    // the largest that one has said: the kernel may not have heard of less
	told    bool      // one has said it
	fresh   time.Time // when the attributes told run out
	attrs   vfs.Attr  // those
	version uint64    // of the content in the pages; 0: none or not to be kept
	filled  bool      // the pages may hold something
	open    int       // open files that use the pages
}

func newPages() pager { return new(pages) }

func (p *pages) attr(notify notices, id uint64, a vfs.Attr, keep time.Duration, exact bool) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == 0 && exact {
		p.resizeLocked(notify, id, a.Size)
	}
	p.told = true
	p.attrs, p.fresh = a, time.Now().Add(keep)
	return p.size
}

func (p *pages) last() (vfs.Attr, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.attrs, p.open > 0
}

// use makes the pages fit.
func (p *pages) use(notify notices, id uint64, h vfs.Held) use {
	content, version := h.Content(), h.Version()
	if h.Keep() <= 0 {
		version = 0
	}
	size := uint64(len(content))
	if size > maxPaged {
		return use{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !time.Now().Before(p.fresh) {
		return use{}
	}
	if version == 0 || version != p.version || size != p.size {
		if p.open > 0 {
			return use{}
		}
		if version == 0 && size < p.size {
			p.resizeLocked(notify, id, size) // so that the next open is right
			return use{}
		}
		if size > p.size {
			p.growLocked(notify, id, size)
		} else {
			p.resizeLocked(notify, id, size)
		}
		if !p.fillLocked(notify, id, content) {
			return use{}
		}
		p.version = version
	}
	p.open++
	return use{how: reused}
}

// resizeLocked makes size what the kernel believes from its next question on,
// and drops the pages, which were full to the former end. No file is open that
// uses them.
func (p *pages) resizeLocked(notify notices, id uint64, size uint64) {
	if size == p.size {
		return
	}
	p.size, p.version, p.filled = size, 0, false
	p.most = max(p.most, size)
	if p.told {
		notify.invalAll(id, nil)
	}
}

// growLocked is resizeLocked where content up to the new, larger size is put
// into the pages next: that moves the kernel's size by itself, and has it ignore
// answers under way as well (fuse_notify_store in fs/fuse/dev.c). But not where the
// kernel still believes in a size as large, from before it shrank: it would take the
// answer that says the smaller one when that arrives.
func (p *pages) growLocked(notify notices, id uint64, size uint64) {
	if size <= p.most {
		p.resizeLocked(notify, id, size)
		return
	}
	p.size, p.most, p.version, p.filled = size, size, 0, false
}

// fillLocked puts content, as long as the file, into the pages.
func (p *pages) fillLocked(notify notices, id uint64, content []byte) bool {
	p.filled = true
	if len(content) == 0 || notify.store(id, content) {
		return true
	}
	p.version, p.filled = 0, false
	notify.invalAll(id, nil)
	return false
}

func (p *pages) arrived(use) {}

func (p *pages) release(notify notices, id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open--; p.open == 0 && p.version == 0 && p.filled {
		p.fillLocked(notify, id, make([]byte, p.size))
		p.filled = false
	}
}
