package fusefs

import (
	"errors"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// fileSystem answers the kernel's requests, decoded by go-fuse, which calls its
// methods concurrently. What a method is given may not be used after it
// returns. Whatever it does not define is answered ENOSYS, after which the
// kernel stops asking (FLUSH, FSYNC, LSEEK, POLL); changes never get here, the
// mount being read-only.
type fileSystem struct {
	fuse.RawFileSystem
	cfg        Config
	notify     notifier
	requests   *requests
	viewers    *viewers
	inodes     inodes
	files      table[*openFile]
	dirs       table[*openDir]
	prunings   chan pruning
	prefetched *prefetched // nil in a mount that is not
}

func newFileSystem(cfg Config, dev *device, rs *requests) (*fileSystem, error) {
	v, err := newViewers(cfg)
	if err != nil {
		return nil, err
	}
	fs := &fileSystem{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		cfg:           cfg, notify: notifier{dev}, requests: rs, viewers: v,
		prunings: make(chan pruning, maxPrunings),
	}
	if cfg.Prefetched != nil {
		if cfg.Shared {
			return nil, errors.New("a mount for all users cannot be prefetched: who opens a file is not asked there")
		}
		fs.prefetched = newPrefetched(fs, *cfg.Prefetched)
	}
	fs.inodes.init(&inode{id: rootID, kind: vfs.TypeDir})
	fs.files.init()
	fs.dirs.init()
	return fs, nil
}

// String names the file system to go-fuse.
func (fs *fileSystem) String() string { return "aggrfs" }

// begin finds what every request needs: its context, the requester, the inode and
// the object as they see it.
func (fs *fileSystem) begin(h *fuse.InHeader) (ctx *request, v *viewer, i *inode, n vfs.Node, err error) {
	if ctx = fs.requests.of(h.Unique); ctx == nil {
		return nil, nil, nil, nil, syscall.EIO
	}
	if i = fs.inodes.get(h.NodeId); i == nil {
		return nil, nil, nil, nil, syscall.ESTALE
	}
	if fs.prefetched != nil {
		fs.prefetched.touch()
	}
	if v, err = fs.viewers.of(ctx, h); err != nil {
		return nil, nil, nil, nil, err
	}
	n, err = i.node(ctx, v, fs.cfg.Shared)
	return ctx, v, i, n, err
}

// Lookup implements LOOKUP: name in a directory.
func (fs *fileSystem) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	ctx, v, parent, n, err := fs.begin(h)
	if err != nil {
		return statusOf(err)
	}
	dir, ok := n.(vfs.Dir)
	if !ok {
		return fuse.ENOTDIR
	}
	if len(name) > vfs.MaxName {
		return fuse.Status(syscall.ENAMETOOLONG)
	}
	if !vfs.ValidName(name) {
		return fuse.ENOENT
	}
	child, err := dir.Walk(ctx, name)
	if err != nil {
		var missing vfs.Missing
		if errors.As(err, &missing) && missing.Keep > 0 && !fs.cfg.Shared {
			out.SetEntryTimeout(kernelTime(missing.Keep)) // node id 0: does not exist
			return fuse.OK
		}
		return statusOf(err)
	}
	a, err := entryAttr(ctx, child)
	if err != nil {
		return statusOf(err)
	}
	i := fs.enter(parent, name, v, child, a, false, out)
	if fs.prefetched != nil && i.kind == vfs.TypeFile {
		// Before the answer gets out, so that what it says is what is there.
		i.loaded.forget()
		if _, a, err = fs.prefetched.get(ctx, i, child); err != nil {
			fs.inodes.forget(i.id, 1)
			return statusOf(err)
		}
		fs.prefetched.attr(&out.Attr, a)
		out.SetAttrTimeout(forever)
	}
	return fuse.OK
}

// enter makes the answer that names a node, in a listing or for a LOOKUP.
func (fs *fileSystem) enter(parent *inode, name string, v *viewer, n vfs.Node, a vfs.Attr, inListing bool, out *fuse.EntryOut) *inode {
	i := fs.inodes.enter(parent, name, n, inListing, v.mark)
	i.put(v, fs.cfg.Shared, n)
	out.NodeId = i.id
	keep, keepName := fs.keep(a)
	out.SetEntryTimeout(keepName)
	out.SetAttrTimeout(keep)
	fs.fillAttr(&out.Attr, i, a, keep)
	if fs.prefetched != nil && i.kind == vfs.TypeDir {
		i.loaded.mu.Lock()
		i.loaded.attr, i.loaded.there = a, true
		i.loaded.mu.Unlock()
	}
	return i
}

// Readlink implements READLINK.
func (fs *fileSystem) Readlink(_ <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	ctx, _, _, n, err := fs.begin(h)
	if err != nil {
		return nil, statusOf(err)
	}
	link, ok := n.(vfs.Link)
	if !ok {
		return nil, fuse.EINVAL
	}
	text, err := link.Readlink(ctx)
	if err != nil {
		return nil, statusOf(err)
	}
	return []byte(text), fuse.OK
}

// Access implements ACCESS, which access(2) and chdir(2) make: by the mode
// bits, as the kernel itself would.
func (fs *fileSystem) Access(_ <-chan struct{}, in *fuse.AccessIn) fuse.Status {
	ctx, _, _, n, err := fs.begin(&in.InHeader)
	if err != nil {
		return statusOf(err)
	}
	a, err := n.Attr(ctx)
	if err != nil {
		return statusOf(err)
	}
	groups := fs.cfg.Owner.Groups
	if fs.cfg.Shared && in.Pid != 0 {
		if groups, err = fs.cfg.Groups(in.Pid); err != nil {
			return statusOf(err)
		}
	}
	return permitted(a, in.Mask, in.Uid, in.Gid, groups)
}

// Forget implements FORGET and BATCH_FORGET.
func (fs *fileSystem) Forget(id, n uint64) { fs.inodes.forget(id, n) }

// StatFs implements STATFS with what a procfs says: nothing is stored here.
func (fs *fileSystem) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	*out = fuse.StatfsOut{Bsize: 4096, Frsize: 4096, NameLen: vfs.MaxName}
	return fuse.OK
}
