package fusefs

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// whole is the mode of a mount that is Whole: a file is read when the kernel is told of it, and
// OPEN is answered ENOSYS, so that to open, read and close a file of which the kernel knows costs
// no request at all.
//
// A content is fixed from LOOKUP on, not from open(2): each inode of a file has one content and
// never another. A name is looked up again when the content's time is over (Held.Keep), and at
// once where there is none; if the content is another then, the name gets another inode, and
// who has the former one open reads that to its end. Who cannot open a file cannot look at it
// either, and a file that is kept open is never read anew: it is for programs that look at a
// file, read it once, and are gone.
//
// The kernel keeps names for as long as its memory lasts, and each costs memory here. So there
// are [maxNamed] of them, and then the directories of the root that were named first are
// dropped, with all below them: a program that reads once has gone on.
type whole struct {
	base
	told notices
	find func(*fuse.InHeader) (context.Context, *inode, vfs.Node, error)

	inodes *inodes

	named chan *inode // directories of the root, as they came, for run

	mu     sync.Mutex
	cached []cachedContent // that the kernel may ask for, the oldest first
	bytes  int             // of those contents
}

const (
	// maxNamed is how many inodes the kernel knows before the oldest are dropped: those of some
	// 25,000 processes, in 128 MiB.
	maxNamed = 1 << 17
	// namedRoom is how many directories wait for run to take note of them.
	namedRoom = 4096
	// maxCached is how many bytes of contents are cached for READ, which follows LOOKUP at once in
	// the programs that this is for. What was too much is opened anew when the kernel asks, and is
	// the file still if its content is.
	maxCached = 4 << 20
	// maxWhole bounds one file, in bytes.
	maxWhole = 64 << 20
	// forLong is for how long the kernel may keep attributes that do not change.
	forLong = time.Hour
)

// A wholeFile is what the kernel was told of a file.
type wholeFile struct {
	mu      sync.Mutex
	there   bool
	attr    vfs.Attr // with the size of the content
	sum     uint64   // of the content
	until   time.Time
	content []byte     // nil where the kernel has it, or it was too much
	cached  bool       // it is among whole.cached
	next    *wholeFile // another content, for another inode
	fresh   bool       // it was read for the inode that is about to be told of
}

type cachedContent struct {
	of   *wholeFile
	size int
}

var contentSeed = maphash.MakeSeed()

var errAnother = errors.New("the file has another content, and so another inode")

func newWhole(b base, n notices, all *inodes, find func(*fuse.InHeader) (context.Context, *inode, vfs.Node, error)) *whole {
	return &whole{base: b, told: n, inodes: all, named: make(chan *inode, namedRoom), find: find}
}

func (m *whole) prepare(i *inode) {
	switch {
	case i.kind == vfs.TypeFile:
		i.whole = new(wholeFile)
	case i.kind == vfs.TypeDir && i.parent != nil && i.parent.parent == nil && i.id != mountPointID:
		select {
		case m.named <- i:
		default: // it stays
		}
	}
}

// run drops the directories that were named first where there are too many inodes. It is a
// goroutine of its own: to drop a name the kernel waits for the directory.
func (m *whole) run(stop <-chan struct{}) {
	var all []*inode
	for {
		select {
		case <-stop:
			return
		case i := <-m.named:
			all = append(all, i)
		}
		// Two for each that comes: what is dropped goes only when the kernel says so.
		for range 2 {
			if m.inodes.size() <= maxNamed || len(all) < 2 {
				break
			}
			oldest := all[0]
			all[0] = nil
			all = all[1:]
			m.told.invalEntry(oldest.parent.id, oldest.name)
		}
	}
}

func (m *whole) missing(keep time.Duration) time.Duration { return kernelTime(keep) }

func (m *whole) entry(ctx context.Context, i *inode, n vfs.Node, a vfs.Attr, _ bool, out *fuse.EntryOut) error {
	if i.kind != vfs.TypeFile {
		out.SetEntryTimeout(kernelTime(max(a.Keep, a.KeepName)))
		out.SetAttrTimeout(kernelTime(a.Keep))
		m.cfg.fillAttr(&out.Attr, a)
		return nil
	}
	left, a, err := m.look(ctx, i, n, a)
	if err != nil {
		return err
	}
	out.SetEntryTimeout(kernelTime(left))
	out.SetAttrTimeout(forLong)
	m.cfg.fillAttr(&out.Attr, a)
	return nil
}

// expands: a file would have to be read.
func (m *whole) expands(_ *inode, e fuse.DirEntry) bool { return e.Mode != uint32(vfs.TypeFile) }

// look reads a file, unless what is known of it is good still, and says for how long it is.
func (m *whole) look(ctx context.Context, i *inode, n vfs.Node, a vfs.Attr) (left time.Duration, known vfs.Attr, err error) {
	l := i.whole
	l.mu.Lock()
	defer l.mu.Unlock()
	if left := time.Until(l.until); l.there && (left > 0 || l.fresh) {
		l.fresh = false
		return max(0, left), l.attr, nil
	}
	fresh, err := m.read1(ctx, n, a)
	if err != nil {
		return 0, a, err
	}
	if l.there && (fresh.sum != l.sum || fresh.attr.Size != l.attr.Size) {
		l.next = fresh
		return 0, a, errAnother
	}
	if l.there {
		l.until = fresh.until
	} else {
		l.take(fresh)
	}
	l.attr = fresh.attr
	m.cacheLocked(l)
	return max(0, time.Until(l.until)), l.attr, nil
}

// take makes l what another is. Nobody else knows one of them.
func (l *wholeFile) take(other *wholeFile) {
	l.there, l.attr, l.sum, l.until, l.content = true, other.attr, other.sum, other.until, other.content
}

// read1 opens a file and reads it.
func (m *whole) read1(ctx context.Context, n vfs.Node, a vfs.Attr) (*wholeFile, error) {
	file, ok := n.(vfs.File)
	if !ok {
		return nil, syscall.EINVAL
	}
	h, err := file.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	l := &wholeFile{attr: a}
	if l.content, err = vfs.ReadAll(ctx, h, maxWhole); err != nil {
		return nil, err
	}
	if held, ok := h.(vfs.Held); ok {
		l.until = time.Now().Add(held.Keep())
	}
	l.attr.Size, l.sum = uint64(len(l.content)), maphash.Bytes(contentSeed, l.content)
	return l, nil
}

// moved gives a new inode the content because of which it is one.
func (m *whole) moved(from, to *inode) {
	if from.whole == nil || to.whole == nil {
		return
	}
	from.whole.mu.Lock()
	next := from.whole.next
	from.whole.next = nil
	from.whole.mu.Unlock()
	if next != nil {
		to.whole.mu.Lock()
		to.whole.take(next)
		to.whole.fresh = true
		m.cacheLocked(to.whole)
		to.whole.mu.Unlock()
	}
}

// cacheLocked counts a content that the kernel may ask for. l.mu is held.
func (m *whole) cacheLocked(l *wholeFile) {
	if l.content == nil || l.cached {
		return
	}
	l.cached = true
	m.mu.Lock()
	m.cached = append(m.cached, cachedContent{l, len(l.content)})
	m.bytes += len(l.content)
	var over []*wholeFile
	for m.bytes > maxCached && len(m.cached) > 1 {
		over = append(over, m.cached[0].of)
		m.bytes -= m.cached[0].size
		m.cached[0] = cachedContent{}
		m.cached = m.cached[1:]
	}
	m.mu.Unlock()
	for _, other := range over {
		go other.drop() // whose lock may wait for ours
	}
}

// drop lets go of the content.
func (l *wholeFile) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.content, l.cached = nil, false
}

func (m *whole) attr(ctx context.Context, i *inode, n vfs.Node, out *fuse.AttrOut) error {
	if i.whole != nil {
		i.whole.mu.Lock()
		there, a := i.whole.there, i.whole.attr
		i.whole.mu.Unlock()
		if there {
			out.SetTimeout(forLong)
			m.cfg.fillAttr(&out.Attr, a)
			return nil
		}
	}
	a, err := n.Attr(ctx)
	if err != nil {
		return err
	}
	out.SetTimeout(kernelTime(a.Keep))
	m.cfg.fillAttr(&out.Attr, a)
	return nil
}

// open is answered so that the kernel does not ask again.
func (m *whole) open(context.Context, *viewer, *inode, vfs.File, *fuse.OpenOut) error {
	return syscall.ENOSYS
}

func (m *whole) read(in *fuse.ReadIn, _ []byte) (fuse.ReadResult, error) {
	ctx, i, n, err := m.find(&in.InHeader)
	if err != nil {
		return nil, err
	}
	if i.whole == nil {
		return nil, syscall.EINVAL
	}
	content, err := m.content(ctx, i.whole, n)
	if err != nil {
		return nil, err
	}
	from := min(in.Offset, uint64(len(content)))
	to := min(from+uint64(in.Size), uint64(len(content)))
	return fuse.ReadResultData(content[from:to]), nil
}

// content is that of an inode. ESTALE: it is not cached any more, and the file has another.
func (m *whole) content(ctx context.Context, l *wholeFile, n vfs.Node) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.there {
		return nil, syscall.ESTALE
	}
	if l.content == nil && l.attr.Size > 0 {
		again, err := m.read1(ctx, n, l.attr)
		if err != nil {
			return nil, err
		}
		if again.sum != l.sum || again.attr.Size != l.attr.Size {
			return nil, syscall.ESTALE
		}
		l.content = again.content
		m.cacheLocked(l)
	}
	return l.content, nil
}

func (m *whole) release(uint64)     {}
func (m *whole) inUse(func(*inode)) {}
func (m *whole) close()             {}
