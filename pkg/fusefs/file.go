package fusefs

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// An openFile is one open(2) of a regular file.
type openFile struct {
	inode *inode
	file  vfs.File
	use   use         // of the inode's pages
	begun atomic.Bool // it has been read from

	mu  sync.Mutex
	now *content // guarded by mu
}

// content is what an open file reads from.
type content struct {
	users  users
	handle vfs.Handle
	held   []byte // the bytes, where they are in memory
	isHeld bool
	share  *share // of the account that it is on
	size   int64  // what it is there
}

// newContent is ENFILE where there is no room for it on the mount's account. h is the
// content's, or closed.
func (b *base) newContent(h vfs.Handle) (*content, error) {
	c := &content{handle: h, share: &b.shares.bytes, size: holds(h)}
	if !c.share.take(c.size) {
		_ = h.Close() // nobody has read it
		return nil, syscall.ENFILE
	}
	c.users.n.Store(1)
	if held, ok := h.(vfs.Held); ok {
		c.held, c.isHeld = held.Content(), true
	}
	return c, nil
}

func (c *content) leave() {
	if c.users.leave() {
		_ = c.handle.Close() // nobody is left to be told
		c.share.give(c.size)
	}
}

// opened are the open files of a mount whose files are opened.
type opened struct {
	base
	files table[*openFile]
}

func newOpened(b base) opened {
	return opened{base: b, files: newTable[*openFile](b.cfg.Generation)}
}

// add makes a file known to the kernel. The kernel need not tell of close(2), only of the
// last one (RELEASE).
func (o *opened) add(f *openFile, flags uint32, out *fuse.OpenOut) error {
	fh, err := o.files.add(f)
	if err != nil {
		f.close()
		return err
	}
	out.Fh, out.OpenFlags = fh, fuse.FOPEN_NOFLUSH|flags
	return nil
}

// read reads a file in direct I/O, or pages that the kernel does not have. It must take no
// lock under which pages are notified, see notices.
func (o *opened) read(in *fuse.ReadIn, buf []byte) (fuse.ReadResult, error) {
	f, ok := o.files.get(in.Fh)
	if !ok {
		return nil, syscall.ESTALE
	}
	ctx := o.conn.Request(in.Unique)
	if ctx == nil {
		return nil, syscall.EIO
	}
	c, err := f.enter(ctx, &o.base, in.Offset)
	if err != nil {
		return nil, err
	}
	defer c.leave()
	if c.isHeld {
		from := min(in.Offset, uint64(len(c.held)))
		to := min(from+uint64(len(buf)), uint64(len(c.held)))
		n := copy(buf, c.held[from:to]) // which may be cleared when it is left
		return fuse.ReadResultData(buf[:n]), nil
	}
	if in.Offset > math.MaxInt64 {
		return nil, syscall.EINVAL
	}
	n, err := readFull(ctx, c.handle, buf, int64(in.Offset))
	if err != nil && n == 0 {
		return nil, err
	}
	return fuse.ReadResultData(buf[:n]), nil
}

func (o *opened) release(fh uint64) {
	if f, ok := o.files.remove(fh); ok {
		f.close()
	}
}

func (o *opened) inUse(f func(*inode)) {
	for _, open := range o.files.all() {
		f(open.inode)
	}
}

func (o *opened) close() {
	for _, f := range o.files.removeAll() {
		f.close()
	}
}

// enter returns what to read from at that offset, for the caller to leave. Who
// reads a file from its start again, as top does with the /proc/stat that it
// keeps open, gets what it is now: procfs makes its files anew then, and so they
// are opened anew. That is for direct I/O alone; of pages, and of rpc files, an
// open file keeps what it has.
func (f *openFile) enter(ctx context.Context, b *base, offset uint64) (*content, error) {
	f.mu.Lock()
	c := f.now
	entered := c.users.enter()
	f.mu.Unlock()
	if !entered {
		return nil, syscall.EBADF
	}
	if f.use.how == renewed && !f.begun.Swap(true) {
		f.inode.pages.arrived(f.use)
	}
	_, rpc := c.handle.(vfs.Writer)
	if offset > 0 || f.use.how != direct || rpc || !f.begun.Swap(true) {
		return c, nil
	}
	defer c.leave()
	h, err := f.file.Open(ctx)
	if err != nil {
		return nil, err
	}
	fresh, err := b.newContent(h)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now != c || !c.users.enter() { // closed meanwhile, or rewound by another
		fresh.leave()
		if f.now == c || !f.now.users.enter() {
			return nil, syscall.EBADF
		}
		return f.now, nil
	}
	f.now = fresh
	fresh.users.enter()
	c.leave() // entered to see that it is open
	c.leave() // the file's own
	return fresh, nil
}

// readFull is ReadAt, which fills buf but at the end of the file. A tree that
// returns less than it can would look like the end of the file to procps.
func readFull(ctx context.Context, h vfs.Handle, buf []byte, off int64) (int, error) {
	n, err := h.ReadAt(ctx, buf, off)
	return max(0, min(n, len(buf))), err
}

// close gives up the file's own use of its content.
func (f *openFile) close() {
	f.mu.Lock()
	c := f.now
	f.mu.Unlock()
	c.leave()
}

// Open implements OPEN.
func (fs *fileSystem) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	ctx, _, i, n, err := fs.begin(&in.InHeader)
	if err != nil {
		return statusOf(err)
	}
	file, ok := n.(vfs.File)
	if !ok {
		return fuse.EINVAL
	}
	err = fs.mode.open(ctx, i, file, out)
	if err != nil {
		fs.pruner.ended(i, err)
	}
	return statusOf(err)
}

// Read implements READ.
func (fs *fileSystem) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	result, err := fs.mode.read(in, buf)
	return result, statusOf(err)
}

// Release implements RELEASE, which follows the last close(2).
func (fs *fileSystem) Release(_ <-chan struct{}, in *fuse.ReleaseIn) { fs.mode.release(in.Fh) }
