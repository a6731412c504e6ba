package fusefs

import (
	"bytes"
	"context"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Prefetched is a mount of a tree all of whose files are short and at hand, as what a
// sweep brings is. The kernel is told everything that it asks for once, for as long as
// it likes, and OPEN is answered ENOSYS, so that it opens and closes files without
// asking: to look at something again costs nothing at all.
//
// What it was told is kept right from here. When the tree has changed (Generation), all
// files that the kernel knows are read again, but those that say themselves that they are
// what they were ([vfs.Stater]), and those of which the content is another are
// invalidated: on each listing of the root before it is answered, and every
// Interval while anybody uses the mount. When nobody has for idleTime all is
// invalidated, and nothing is done until somebody does. So nothing is shown that is
// older than Interval and the time that a sweep takes.
//
// An open file is not fixed: it shows what the newest look has brought, since the kernel
// does not tell which opens there are.
type Prefetched struct {
	// Interval is how long what the tree holds is good.
	Interval time.Duration
	// Generation changes when what the tree holds has.
	Generation func() uint64

	idle time.Duration // 0 is idleTime; a test has less of it
}

// forever is how long the kernel may cache what is invalidated from here.
const forever = time.Hour

// idleTime is after how long without a request nobody is taken to use the mount.
const idleTime = 10 * time.Second

// maxPrefetched bounds a file of such a tree, in bytes: the cpuinfo of a large cluster.
const maxPrefetched = 64 << 20

// A prefetched is the mode of such a mount.
type prefetched struct {
	base
	Prefetched
	fs    *fileSystem
	told  notices
	last  atomic.Int64       // when the last request came, ns since 1970
	syncs chan chan struct{} // asked for by listings; closed when done

	// Of the goroutine that keeps it right alone:
	seen    uint64 // the generation that the kernel's knowledge is of
	dropped bool   // all of it has been invalidated
}

func newPrefetched(b base, fs *fileSystem, n notices) *prefetched {
	cfg := *b.cfg.Prefetched
	if cfg.idle <= 0 {
		cfg.idle = idleTime
	}
	return &prefetched{base: b, Prefetched: cfg, fs: fs, told: n, syncs: make(chan chan struct{})}
}

func (p *prefetched) used() { p.last.Store(time.Now().UnixNano()) }

// run keeps the kernel's knowledge right until stop. It is a goroutine of its own: a
// notification waits for pages that a READ is to fill.
func (p *prefetched) run(stop <-chan struct{}) {
	tick := time.NewTicker(p.Interval)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case done := <-p.syncs:
			p.pass(false, done)
		case <-tick.C:
			if time.Since(time.Unix(0, p.last.Load())) > p.idle {
				p.drop()
				continue
			}
			p.sweep()
			p.pass(true, make(chan struct{}))
		}
	}
}

func (p *prefetched) prepare(i *inode) { i.loaded = new(loaded) }

func (p *prefetched) missing(keep time.Duration) time.Duration { return kernelTime(keep) }

func (p *prefetched) entry(ctx context.Context, i *inode, n vfs.Node, a vfs.Attr, _ bool, out *fuse.EntryOut) error {
	if max(a.Keep, a.KeepName) > 0 {
		out.SetEntryTimeout(forever)
		out.SetAttrTimeout(forever)
	}
	switch i.kind {
	case vfs.TypeFile:
		// Before the answer gets out, so that what it says is what is there.
		told, before := i.loaded.forget()
		now, got, err := p.get(ctx, i, n)
		if err != nil {
			return err
		}
		if told && !bytes.Equal(before, now) {
			return errAnother // in place of a notification, for which the answer would have to wait
		}
		a = got
		out.SetAttrTimeout(forever)
	case vfs.TypeDir:
		i.loaded.mu.Lock()
		i.loaded.attr, i.loaded.there = a, true
		i.loaded.mu.Unlock()
	}
	p.cfg.fillAttr(&out.Attr, a)
	return nil
}

func (p *prefetched) attr(ctx context.Context, i *inode, n vfs.Node, out *fuse.AttrOut) error {
	var a vfs.Attr
	var err error
	if i.kind == vfs.TypeFile {
		_, a, err = p.get(ctx, i, n)
		out.SetTimeout(forever)
	} else if a, err = n.Attr(ctx); max(a.Keep, a.KeepName) > 0 {
		out.SetTimeout(forever)
	}
	if err == nil {
		p.cfg.fillAttr(&out.Attr, a)
	}
	return err
}

// open is answered so that the kernel does not ask again.
func (p *prefetched) open(context.Context, *viewer, *inode, vfs.File, *fuse.OpenOut) error {
	return syscall.ENOSYS
}

func (p *prefetched) read(in *fuse.ReadIn, _ []byte) (fuse.ReadResult, error) {
	ctx, _, i, n, err := p.fs.begin(&in.InHeader)
	if err != nil {
		return nil, err
	}
	content, _, err := p.get(ctx, i, n)
	if hasEnded(err) {
		err = syscall.ESRCH // it is open, and its process is gone
	}
	if err != nil {
		return nil, err
	}
	from := min(in.Offset, uint64(len(content)))
	to := min(from+uint64(in.Size), uint64(len(content)))
	return fuse.ReadResultData(content[from:to]), nil
}

func (p *prefetched) release(uint64)     {}
func (p *prefetched) inUse(func(*inode)) {}
func (p *prefetched) close()             {}

// expands: the content of a file has to be loaded, and what is known already is kept right
// anyway.
func (p *prefetched) expands(parent *inode, e fuse.DirEntry) bool {
	return e.Mode != uint32(vfs.TypeFile) && !p.fs.inodes.knows(parent, e)
}

// listing has the kernel's knowledge made right before a listing of the root is answered,
// where there is time for it.
func (p *prefetched) listing(ctx context.Context, dir *inode) {
	if dir.parent != nil {
		return
	}
	done := make(chan struct{})
	select {
	case p.syncs <- done:
	case <-ctx.Done():
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// sweep lists the root, which has the tree bring what is new.
func (p *prefetched) sweep() {
	ctx, cancel := context.WithTimeout(context.Background(), p.cfg.Deadline)
	defer cancel()
	root, ok := p.fs.viewers.sole.root.(vfs.Dir)
	if !ok {
		return
	}
	h, err := root.List(ctx)
	if err != nil {
		return
	}
	defer h.Close()
	_, _ = h.ReadDir(ctx, 0, nil, 1) // what is wrong is told to who lists
}

// pass reads again what the kernel knows and invalidates what is different now. always
// is for files whose content is not of the tree's holdings. done is closed when the kernel
// has heard of all of it.
func (p *prefetched) pass(always bool, done chan struct{}) {
	heard := &count{done: done}
	heard.add()
	defer heard.less(nil)
	generation := p.Generation()
	p.dropped = false
	if generation == p.seen && !always {
		return
	}
	changed := generation != p.seen
	p.seen = generation
	ctx, cancel := context.WithTimeout(context.Background(), p.cfg.Deadline)
	defer cancel()
	for _, i := range p.fs.inodes.known() {
		if ctx.Err() != nil {
			return
		}
		inRoot := i.parent != nil && i.parent.parent == nil
		if inRoot == always || changed && !inRoot {
			p.refresh(ctx, i, heard)
		}
	}
}

// refresh looks at one file or directory again, and invalidates it if it is different.
func (p *prefetched) refresh(ctx context.Context, i *inode, heard *count) {
	if i.kind == vfs.TypeDir {
		p.refreshDir(ctx, i, heard)
		return
	}
	i.loaded.mu.Lock()
	there, before, attr := i.loaded.there, i.loaded.content, i.loaded.attr
	i.loaded.mu.Unlock()
	if !there {
		return
	}
	n, err := i.node(ctx, p.fs.viewers.sole, false)
	if err == nil {
		if i.loaded.is(stateOf(n)) {
			return
		}
		if file, ok := n.(vfs.File); ok {
			err = p.load(ctx, i, file)
		}
	}
	if err != nil {
		i.loaded.forget()
		p.invalidate(i, heard)
		p.fs.pruner.ended(i, err)
		return
	}
	i.loaded.mu.Lock()
	same := bytes.Equal(before, i.loaded.content) && i.loaded.attr.UID == attr.UID && i.loaded.attr.GID == attr.GID && i.loaded.attr.Mode == attr.Mode
	i.loaded.mu.Unlock()
	if !same {
		p.invalidate(i, heard)
	}
}

// refreshDir invalidates a directory whose owner or mode is another now.
func (p *prefetched) refreshDir(ctx context.Context, i *inode, heard *count) {
	n, err := i.node(ctx, p.fs.viewers.sole, false)
	if err != nil {
		return // a listing leaves it out
	}
	a, err := entryAttr(ctx, n)
	i.loaded.mu.Lock()
	before, told := i.loaded.attr, i.loaded.there
	i.loaded.attr, i.loaded.there = a, err == nil
	i.loaded.mu.Unlock()
	if told && (err != nil || a.UID != before.UID || a.GID != before.GID || a.Mode != before.Mode) {
		p.invalidate(i, heard)
	}
}

// invalidate drops what the kernel knows of a file or directory.
func (p *prefetched) invalidate(i *inode, heard *count) {
	heard.add()
	p.told.invalAll(i.id, heard.less)
}

// A count closes done when all that was added has been taken off.
type count struct {
	n    atomic.Int64
	done chan struct{}
}

func (c *count) add() { c.n.Add(1) }

// less is what a notification calls when it has been written, or will not be.
func (c *count) less(error) {
	if c.n.Add(-1) == 0 {
		close(c.done)
	}
}

// drop invalidates all that the kernel knows.
func (p *prefetched) drop() {
	if p.dropped {
		return
	}
	p.dropped = true
	for _, i := range p.fs.inodes.known() {
		i.loaded.forget()
		p.told.invalAll(i.id, nil)
	}
}

// known are the inodes that the kernel knows and that can change.
func (t *inodes) known() []*inode {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*inode, 0, len(t.byID))
	for _, i := range t.byID {
		if i.kind != vfs.TypeLink && i.parent != nil {
			all = append(all, i)
		}
	}
	return all
}

// knows reports whether the kernel knows an entry as the very object.
func (t *inodes) knows(parent *inode, e fuse.DirEntry) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.byName[place{parent.id, e.Name}]
	return i != nil && i.object == e.Ino && i.kind == vfs.Type(e.Mode)
}
