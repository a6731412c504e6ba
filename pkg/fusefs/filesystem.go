package fusefs

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/fusefs/device"
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
	cfg     Config
	conn    *device.Conn
	payers  *payers
	mode    mode
	viewers *viewers
	inodes  inodes
	dirs    table[*openDir]
	pruner  pruner
}

func newFileSystem(cfg Config, conn *device.Conn) (*fileSystem, error) {
	paid := newPayers(&cfg)
	v, err := newViewers(cfg, paid)
	if err != nil {
		return nil, err
	}
	fs := &fileSystem{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		cfg:           cfg, conn: conn, viewers: v, payers: paid,
		dirs: newTable[*openDir](cfg.Generation),
	}
	told := notices{conn, cfg.Notifier}
	fs.pruner.init(fs, told)
	common := base{&fs.cfg, conn}
	switch {
	case cfg.Whole && (cfg.Shared || cfg.Prefetched != nil):
		return nil, errors.New("a mount is whole for one identity, and not prefetched besides")
	case cfg.Shared && cfg.Prefetched != nil:
		return nil, errors.New("a mount for all users cannot be prefetched: who opens a file is not asked there")
	case cfg.Shared:
		fs.mode = &shared{newOpened(common, &fs.inodes)}
	case cfg.Whole:
		fs.mode = newWhole(common, told, &fs.inodes, func(h *fuse.InHeader) (context.Context, *inode, vfs.Node, error) {
			ctx, _, i, n, err := fs.begin(h)
			return ctx, i, n, err
		})
	case cfg.Prefetched != nil:
		fs.mode = newPrefetched(common, fs, told)
	default:
		fs.mode = &ordinary{newOpened(common, &fs.inodes)}
	}
	fs.inodes.init(&inode{id: rootID, kind: vfs.TypeDir}, cfg.Generation, cfg.fixedNames(), fs.mode.prepare)
	return fs, nil
}

// Run implements device.Handler.
func (fs *fileSystem) Run(stop <-chan struct{}) {
	var notifying sync.WaitGroup
	notifying.Go(func() { fs.pruner.run(stop) })
	notifying.Go(func() { fs.mode.run(stop) })
	notifying.Wait()
}

// Close implements device.Handler: it closes what the kernel will not release any more.
func (fs *fileSystem) Close() {
	fs.mode.close()
	for _, d := range fs.dirs.removeAll() {
		d.leave()
	}
	fs.payers.close()
}

// statusOf is the answer to an error of the tree.
func statusOf(err error) fuse.Status { return fuse.Status(vfs.Errno(err)) }

// String names the file system to go-fuse.
func (fs *fileSystem) String() string { return "aggrfs" }

// begin finds what every request needs: its context, the requester, the inode and
// the object as they see it.
func (fs *fileSystem) begin(h *fuse.InHeader) (ctx *device.Request, v *viewer, i *inode, n vfs.Node, err error) {
	if ctx = fs.conn.Request(h.Unique); ctx == nil {
		return nil, nil, nil, nil, syscall.EIO
	}
	if i = fs.inodes.get(h.NodeId); i == nil {
		return nil, nil, nil, nil, syscall.ESTALE
	}
	fs.mode.used()
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
		if errors.As(err, &missing) {
			if keep := fs.mode.missing(missing.Keep); keep > 0 {
				out.SetEntryTimeout(keep) // node id 0: does not exist
				return fuse.OK
			}
		}
		return statusOf(err)
	}
	a, err := entryAttr(ctx, child)
	if err != nil {
		return statusOf(err)
	}
	_, err = fs.enter(ctx, parent, name, v, child, a, false, out)
	return statusOf(err)
}

// mountPointTime is how long a kernel may keep the name of a vfs.MountPoint: longer than it runs. A
// name that it has to ask for while nobody answers has nothing mounted on it afterwards.
const mountPointTime = 100 * 365 * 24 * time.Hour

// enter makes the answer that names a node, in a listing or for a LOOKUP.
func (fs *fileSystem) enter(ctx *device.Request, parent *inode, name string, v *viewer, n vfs.Node, a vfs.Attr, inListing bool, out *fuse.EntryOut) (*inode, error) {
	var before *inode
	for {
		i := fs.inodes.enter(parent, name, n, inListing, v)
		if i == nil {
			return nil, syscall.ENFILE
		}
		i.put(v, fs.cfg.Shared, n)
		if before != nil {
			fs.mode.moved(before, i)
		}
		err := fs.mode.entry(ctx, i, n, a, inListing, out)
		if err == nil {
			out.NodeId = i.id
			if i.id == mountPointID {
				out.SetEntryTimeout(mountPointTime)
			}
			return i, nil
		}
		if err == errAnother && before == nil {
			before = i
			fs.inodes.replace(i)
		}
		fs.inodes.forget(i.id, 1)
		if before != i {
			return nil, err
		}
	}
}

// GetAttr implements GETATTR.
func (fs *fileSystem) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	ctx, _, i, n, err := fs.begin(&in.InHeader)
	if err == nil {
		err = fs.mode.attr(ctx, i, n, out)
	}
	if err != nil && i != nil && i.dirs.Load() > 0 && hasEnded(err) {
		// As procfs has it, a directory that is open has attributes when its process has ended.
		fs.cfg.fillAttr(&out.Attr, vfs.Attr{ID: i.object, Mode: uint32(vfs.TypeDir) | 0o555, Nlink: 2})
		return fuse.OK
	}
	return statusOf(err)
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
	text, err := fs.textOf(ctx, h, link)
	if err != nil {
		return nil, statusOf(err)
	}
	return []byte(text), fuse.OK
}

// textOf is the text of a link for the thread that waits for it.
func (fs *fileSystem) textOf(ctx context.Context, h *fuse.InHeader, link vfs.Link) (string, error) {
	f, ok := link.(vfs.Followed)
	if !ok || fs.cfg.NoThreads || h.Pid == 0 {
		return link.Readlink(ctx)
	}
	reads, known := fs.cfg.ReadsLink(ctx, h.Pid)
	if reads {
		return link.Readlink(ctx)
	}
	return f.Follow(ctx, known)
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
	a.UID, a.GID = fs.cfg.IDs(a.UID, a.GID)
	groups, err := fs.groups(in.Pid)
	if err != nil {
		return statusOf(err)
	}
	return permitted(a, in.Mask, in.Uid, in.Gid, groups)
}

// groups are the supplementary groups of who makes a request, as the kernel numbers them.
func (fs *fileSystem) groups(tid uint32) ([]uint32, error) {
	if fs.cfg.Shared {
		return fs.viewers.groups(tid)
	}
	translated := make([]uint32, len(fs.cfg.Owner.Groups))
	for n, g := range fs.cfg.Owner.Groups {
		_, translated[n] = fs.cfg.IDs(0, g)
	}
	return translated, nil
}

// Forget implements FORGET and BATCH_FORGET.
func (fs *fileSystem) Forget(id, n uint64) { fs.inodes.forget(id, n) }

// StatFs implements STATFS with what a procfs says: nothing is stored here.
func (fs *fileSystem) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	*out = fuse.StatfsOut{Bsize: 4096, Frsize: 4096, NameLen: vfs.MaxName}
	return fuse.OK
}
