package fusefs

import (
	"context"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/fusefs/device"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// A mode is what a mount lets the kernel keep: what it is told of files and directories and
// for how long, how files are opened and read, and what happens at a listing. There is the
// ordinary one, and the ones of mounts that are Shared, Prefetched, or Whole.
type mode interface {
	// used notes that a request has come.
	used()
	// prepare gives a new inode what the mode has to know of it.
	prepare(i *inode)
	// entry completes the answer that names i: the attributes, and how long they and the
	// name are good. inListing is whether it is that of a listing, not of a LOOKUP.
	entry(ctx context.Context, i *inode, n vfs.Node, a vfs.Attr, inListing bool, out *fuse.EntryOut) error
	// moved is called where entry has said errAnother of from: its name means to now.
	moved(from, to *inode)
	// missing is how long the kernel may keep that a name does not exist, which the tree
	// allows for keep.
	missing(keep time.Duration) time.Duration
	// attr answers GETATTR.
	attr(ctx context.Context, i *inode, n vfs.Node, out *fuse.AttrOut) error
	// open answers OPEN.
	open(ctx context.Context, v *viewer, i *inode, file vfs.File, out *fuse.OpenOut) error
	// read answers READ.
	read(in *fuse.ReadIn, buf []byte) (fuse.ReadResult, error)
	// release is called for RELEASE.
	release(fh uint64)
	// inUse calls f with the inodes of open files.
	inUse(f func(*inode))
	// expands reports whether an entry of a listing is to be told with its attributes.
	expands(parent *inode, e fuse.DirEntry) bool
	// listing is called before a directory is listed from its start.
	listing(ctx context.Context, dir *inode)
	// run works beside the requests until stop.
	run(stop <-chan struct{})
	// close closes what the kernel will not release any more.
	close()
}

// hasEnded reports whether an error of the tree says that the object is there no more.
func hasEnded(err error) bool {
	e := vfs.Errno(err) // 0 for nil
	return e == syscall.ENOENT || e == syscall.ESRCH
}

// entryAttr is what has to be known of a node to enter its name somewhere.
func entryAttr(ctx context.Context, n vfs.Node) (vfs.Attr, error) {
	if p, ok := n.(vfs.Previewer); ok {
		return p.Preview(), nil
	}
	return n.Attr(ctx)
}

// jiffy is the longest that a kernel's clock tick is. It counts its times in
// ticks and rounds them up.
const jiffy = 10 * time.Millisecond

// kernelTime is what the kernel is told so that it keeps something for d and
// no longer.
func kernelTime(d time.Duration) time.Duration { return max(d-jiffy, 0) }

// fillAttr translates attributes.
func (c *Config) fillAttr(out *fuse.Attr, a vfs.Attr) {
	uid, gid := c.IDs(a.UID, a.GID)
	*out = fuse.Attr{
		Ino: a.ID, Size: a.Size, Mode: a.Mode, Nlink: a.Nlink,
		Owner: fuse.Owner{Uid: uid, Gid: gid},
	}
	if !a.Mtime.IsZero() {
		out.SetTimes(&a.Atime, &a.Mtime, &a.Ctime)
	}
}

// base is what all modes do alike, which most do not change.
type base struct {
	cfg  *Config
	conn *device.Conn
}

func (*base) used()                           {}
func (*base) moved(from, to *inode)           {}
func (*base) listing(context.Context, *inode) {}
func (*base) run(<-chan struct{})             {}

// shared is the mode of a mount for all users: the kernel keeps nothing, since its caches
// know no users.
type shared struct {
	opened
}

func (m *shared) entry(ctx context.Context, i *inode, _ vfs.Node, a vfs.Attr, inListing bool, out *fuse.EntryOut) error {
	if i.file != nil {
		return m.name(ctx, i, a, 0, inListing, out)
	}
	m.cfg.fillAttr(&out.Attr, i.settle(a))
	return nil
}

func (m *shared) missing(time.Duration) time.Duration { return 0 }

func (m *shared) attr(ctx context.Context, i *inode, n vfs.Node, out *fuse.AttrOut) error {
	_, err := m.attrs(ctx, i, n, &out.Attr)
	return err
}

// ordinary is the mode of a mount for one identity: the kernel keeps what the tree allows of
// names and attributes.
type ordinary struct {
	opened
}

func (m *ordinary) missing(keep time.Duration) time.Duration { return kernelTime(keep) }

func (m *ordinary) entry(ctx context.Context, i *inode, _ vfs.Node, a vfs.Attr, inListing bool, out *fuse.EntryOut) error {
	keep := kernelTime(max(a.Keep, a.KeepName))
	if i.file != nil {
		return m.name(ctx, i, a, keep, inListing, out)
	}
	out.SetEntryTimeout(keep)
	out.SetAttrTimeout(kernelTime(a.Keep))
	m.cfg.fillAttr(&out.Attr, i.settle(a))
	return nil
}

func (m *ordinary) attr(ctx context.Context, i *inode, n vfs.Node, out *fuse.AttrOut) error {
	a, err := m.attrs(ctx, i, n, &out.Attr)
	out.SetTimeout(kernelTime(a.Keep))
	return err
}
