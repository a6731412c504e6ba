package fusefs

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/fusefs/device"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// An openFile is one open(2) of a regular file.
type openFile struct {
	inode  *inode
	file   vfs.File
	viewer uint64      // see viewer.mark
	shares *shares     // that it counts in
	thread uint32      // who has opened it; guarded by mu of the inode's file
	begun  atomic.Bool // it has been read from

	mu  sync.Mutex
	now *content // guarded by mu
}

// content is what an open file reads from.
type content struct {
	users  users
	handle vfs.Handle
	held   atomic.Pointer[[]byte] // the bytes, where they are in memory
	pin    pin                    // it
	load   sync.Mutex             // held where held is made
}

// newContent is ENFILE where there is no room for it on the account. h is the content's, or closed.
func newContent(h vfs.Handle, on *shares) (*content, error) {
	c := &content{handle: h, pin: pin{share: &on.bytes}}
	if !c.pin.set(holds(h)) {
		_ = h.Close() // nobody has read it
		return nil, syscall.ENFILE
	}
	c.users.n.Store(1)
	if held, ok := h.(vfs.Held); ok {
		bytes := held.Content()
		c.held.Store(&bytes)
	}
	return c, nil
}

// length is how long the content is, where that is known.
func (c *content) length() (n uint64, known bool) {
	if held := c.held.Load(); held != nil {
		return uint64(len(*held)), true
	}
	return 0, false
}

// loaded is length of a content that is read to its end for it, if it is not too long.
func (c *content) loaded(ctx context.Context) (n uint64, known bool) {
	c.load.Lock()
	defer c.load.Unlock()
	if n, known := c.length(); known {
		return n, true
	}
	if _, endless := c.handle.(vfs.Stream); endless {
		return 0, false
	}
	bytes, err := vfs.ReadAll(ctx, c.handle, maxLoaded)
	if err != nil || !c.pin.set(openSize+int64(len(bytes))) {
		return 0, false
	}
	c.held.Store(&bytes)
	return uint64(len(bytes)), true
}

func (c *content) leave() {
	if c.users.leave() {
		_ = c.handle.Close() // nobody is left to be told
		c.pin.set(0)
	}
}

// opened are the open files of a mount whose files are opened, and what there is to their
// inodes, see fileInode.
type opened struct {
	base
	inodes *inodes
	files  table[*openFile]
	retry  *retry
}

func newOpened(b base, all *inodes) opened {
	return opened{base: b, inodes: all, retry: new(retry), files: newTable[*openFile](b.cfg.Generation)}
}

func (o *opened) prepare(i *inode) {
	if i.kind == vfs.TypeFile {
		i.file = newFileInode()
	}
}

// expands: an inode that is open, or about to be, is not told of.
func (o *opened) expands(parent *inode, e fuse.DirEntry) bool {
	i := o.inodes.named(parent, e.Name)
	return i == nil || i.file == nil || !i.file.busy(0)
}

// name completes the answer that names a file, whose name the kernel may cache for so long.
func (o *opened) name(ctx context.Context, i *inode, a vfs.Attr, keep time.Duration, inListing bool, out *fuse.EntryOut) error {
	thread := uint32(0)
	if !inListing {
		thread = device.Thread(ctx)
	}
	again := thread != 0 && o.retry.has(thread)
	if !i.file.look(thread, a.Mode, again) {
		return errAnother
	}
	if !again {
		out.SetEntryTimeout(keep)
	}
	a.Size = unknownSize
	o.cfg.fillAttr(&out.Attr, i.settle(a))
	return nil
}

// attrs are the attributes that GETATTR says of a file or directory.
func (o *opened) attrs(ctx context.Context, i *inode, n vfs.Node, out *fuse.Attr) (vfs.Attr, error) {
	a, err := n.Attr(ctx)
	if err != nil {
		if i.file == nil || !i.file.isOpen() || !hasEnded(err) {
			return a, err
		}
		// As procfs has it, a file that is open has attributes when its process has ended.
		a = vfs.Attr{ID: i.object, Mode: i.file.mode(), Nlink: 1}
	}
	if i.file != nil {
		a.Size = i.file.attr(ctx, device.Thread(ctx), a.Size)
	}
	o.cfg.fillAttr(out, i.settle(a))
	return a, nil
}

// open answers OPEN. The kernel need not tell of close(2), only of the last one (RELEASE).
func (o *opened) open(ctx context.Context, v *viewer, i *inode, file vfs.File, out *fuse.OpenOut) error {
	thread := device.Thread(ctx)
	f, err := o.openAlone(ctx, thread, v, i, file)
	if err == syscall.ESTALE {
		o.retry.add(thread)
	} else {
		o.retry.remove(thread)
	}
	if err != nil {
		return err
	}
	out.Fh, out.OpenFlags = o.files.add(f), fuse.FOPEN_NOFLUSH|fuse.FOPEN_DIRECT_IO
	return nil
}

// openAlone opens the file of an inode that nobody else has open; ESTALE is that somebody has, or
// see fileInode.
func (o *opened) openAlone(ctx context.Context, thread uint32, v *viewer, i *inode, file vfs.File) (*openFile, error) {
	if err := i.file.begin(thread, file); err != nil {
		return nil, err
	}
	if !opening(&v.shares.files) {
		return nil, syscall.ENFILE
	}
	f := &openFile{inode: i, file: file, viewer: v.mark, shares: v.shares}
	h, err := file.Open(ctx)
	if err == nil {
		f.now, err = newContent(h, v.shares)
	}
	if err == nil {
		err = i.file.add(thread, f)
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (o *opened) read(in *fuse.ReadIn, buf []byte) (fuse.ReadResult, error) {
	f, ok := o.files.get(in.Fh)
	if !ok {
		return nil, syscall.ESTALE
	}
	ctx := o.conn.Request(in.Unique)
	if ctx == nil {
		return nil, syscall.EIO
	}
	n, err := f.read(ctx, in.Offset, buf)
	if err != nil {
		return nil, err
	}
	f.inode.file.answered(in.Offset, len(buf), n)
	return fuse.ReadResultData(buf[:n]), nil
}

func (o *opened) release(fh uint64) {
	if f, ok := o.files.remove(fh); ok {
		f.inode.file.remove(f)
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

// read fills buf with what is from offset on, and says how much that is.
func (f *openFile) read(ctx context.Context, offset uint64, buf []byte) (int, error) {
	c, err := f.enter(ctx, offset)
	if err != nil {
		return 0, err
	}
	defer c.leave()
	if held := c.held.Load(); held != nil {
		return copy(buf, (*held)[min(offset, uint64(len(*held))):]), nil // which may be cleared when it is left
	}
	if offset > math.MaxInt64 {
		return 0, syscall.EINVAL
	}
	n, err := readFull(ctx, c.handle, buf, int64(offset))
	if n > 0 {
		err = nil
	}
	return n, err
}

// size is how long the content is; otherwise if that cannot be told.
func (f *openFile) size(ctx context.Context, otherwise uint64) uint64 {
	f.mu.Lock()
	c := f.now
	entered := c.users.enter()
	f.mu.Unlock()
	if !entered {
		return otherwise
	}
	defer c.leave()
	if n, known := c.loaded(ctx); known {
		return n
	}
	return otherwise
}

// enter returns what to read from at that offset, for the caller to leave. Who
// reads a file from its start again, as top does with the /proc/stat that it
// keeps open, gets what it is now: procfs makes its files anew then, and so they
// are opened anew, and the tree has it that the file is as old as the policy lets it be. Of rpc files an
// open file keeps what it has. ESRCH is that there is none any more.
func (f *openFile) enter(ctx context.Context, offset uint64) (*content, error) {
	f.mu.Lock()
	c := f.now
	entered := c.users.enter()
	f.mu.Unlock()
	if !entered {
		return nil, syscall.EBADF
	}
	_, rpc := c.handle.(vfs.Writer)
	if offset > 0 || rpc || !f.begun.Swap(true) {
		return c, nil
	}
	defer c.leave()
	h, err := f.file.Open(ctx)
	if err != nil {
		if hasEnded(err) {
			err = syscall.ESRCH
		}
		return nil, err
	}
	fresh, err := newContent(h, f.shares)
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

// close gives up the file's own use of its content, if it has one.
func (f *openFile) close() {
	f.mu.Lock()
	c := f.now
	f.mu.Unlock()
	if c != nil {
		c.leave()
	}
	f.shares.files.Add(-1)
}

// Open implements OPEN.
func (fs *fileSystem) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	ctx, v, i, n, err := fs.begin(&in.InHeader)
	if err != nil {
		return statusOf(err)
	}
	file, ok := n.(vfs.File)
	if !ok {
		return fuse.EINVAL
	}
	err = fs.mode.open(ctx, v, i, file, out)
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
