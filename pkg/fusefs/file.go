package fusefs

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// An openFile is one open(2) of a regular file.
type openFile struct {
	inode  *inode
	file   vfs.File
	cached bool        // it uses the inode's pages
	begun  atomic.Bool // it has been read from

	mu  sync.Mutex
	now *content // guarded by mu
}

// content is what an open file reads from.
type content struct {
	users  users
	handle vfs.Handle
	held   []byte // the bytes, where they are in memory
	isHeld bool
}

func newContent(h vfs.Handle) *content {
	c := &content{handle: h}
	c.users.n.Store(1)
	if held, ok := h.(vfs.Held); ok {
		c.held, c.isHeld = held.Content(), true
	}
	return c
}

func (c *content) leave() {
	if c.users.leave() {
		_ = c.handle.Close() // nobody is left to be told
	}
}

// Open implements OPEN.
func (fs *fileSystem) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if fs.prefetched != nil {
		return fuse.ENOSYS // and the kernel does not ask again
	}
	ctx, _, i, n, err := fs.begin(&in.InHeader)
	if err != nil {
		return statusOf(err)
	}
	file, ok := n.(vfs.File)
	if !ok {
		return fuse.EINVAL
	}
	h, err := file.Open(ctx)
	if err != nil {
		fs.dropEnded(i, err)
		return statusOf(err)
	}
	f := &openFile{inode: i, file: file, now: newContent(h)}
	if held, ok := h.(vfs.Held); ok {
		if _, rpc := h.(vfs.Writer); !rpc && !fs.cfg.Shared {
			f.cached = i.pages.use(fs.notify, i.id, held)
		}
	}
	out.Fh = fs.files.add(f)
	// The kernel need not tell of close(2), only of the last one (RELEASE).
	out.OpenFlags = fuse.FOPEN_NOFLUSH | fuse.FOPEN_DIRECT_IO
	if f.cached {
		out.OpenFlags = fuse.FOPEN_NOFLUSH | fuse.FOPEN_KEEP_CACHE
	}
	return fuse.OK
}

// Read implements READ: of a file in direct I/O, or of pages that the kernel has
// dropped. It must take no lock under which pages are notified, see notifier.
func (fs *fileSystem) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	if fs.prefetched != nil {
		return fs.readAhead(in)
	}
	f, ok := fs.files.get(in.Fh)
	if !ok {
		return nil, fuse.EBADF
	}
	ctx := fs.requests.of(in.Unique)
	if ctx == nil {
		return nil, fuse.EIO
	}
	c, err := f.enter(ctx, in.Offset)
	if err != nil {
		return nil, statusOf(err)
	}
	defer c.leave()
	if c.isHeld {
		from := min(in.Offset, uint64(len(c.held)))
		to := min(from+uint64(len(buf)), uint64(len(c.held)))
		n := copy(buf, c.held[from:to]) // which may be cleared when it is left
		return fuse.ReadResultData(buf[:n]), fuse.OK
	}
	n, err := readFull(ctx, c.handle, buf, int64(in.Offset))
	if err != nil && n == 0 {
		return nil, statusOf(err)
	}
	return fuse.ReadResultData(buf[:n]), fuse.OK
}

// readAhead is Read in a mount that is Prefetched, where nothing is opened.
func (fs *fileSystem) readAhead(in *fuse.ReadIn) (fuse.ReadResult, fuse.Status) {
	ctx, _, i, n, err := fs.begin(&in.InHeader)
	if err != nil {
		return nil, statusOf(err)
	}
	content, _, err := fs.prefetched.get(ctx, i, n)
	if err != nil {
		return nil, statusOf(err)
	}
	from := min(in.Offset, uint64(len(content)))
	to := min(from+uint64(in.Size), uint64(len(content)))
	return fuse.ReadResultData(content[from:to]), fuse.OK
}

// enter returns what to read from at that offset, for the caller to leave. Who
// reads a file from its start again, as top does with the /proc/stat that it
// keeps open, gets what it is now: procfs makes its files anew then, and so they
// are opened anew. That is for direct I/O alone; of pages, and of rpc files, an
// open file keeps what it has.
func (f *openFile) enter(ctx context.Context, offset uint64) (*content, error) {
	f.mu.Lock()
	c := f.now
	entered := c.users.enter()
	f.mu.Unlock()
	if !entered {
		return nil, syscall.EBADF
	}
	_, rpc := c.handle.(vfs.Writer)
	if offset > 0 || f.cached || rpc || !f.begun.Swap(true) {
		return c, nil
	}
	defer c.leave()
	h, err := f.file.Open(ctx)
	if err != nil {
		return nil, err
	}
	fresh := newContent(h)
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

// Release implements RELEASE, which follows the last close(2).
func (fs *fileSystem) Release(_ <-chan struct{}, in *fuse.ReleaseIn) { fs.closeFile(in.Fh) }

func (fs *fileSystem) closeFile(fh uint64) {
	f, ok := fs.files.remove(fh)
	if !ok {
		return
	}
	if f.cached {
		f.inode.pages.release(fs.notify, f.inode.id)
	}
	f.close()
}

// close gives up the file's own use of its content.
func (f *openFile) close() {
	f.mu.Lock()
	c := f.now
	f.mu.Unlock()
	c.leave()
}

// closeAll closes what the kernel will not release any more.
func (fs *fileSystem) closeAll() {
	for _, f := range fs.files.removeAll() {
		f.close()
	}
	for _, d := range fs.dirs.removeAll() {
		d.leave()
	}
}
