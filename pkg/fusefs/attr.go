package fusefs

import (
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// entryAttr is what has to be known of a node to enter its name somewhere.
func entryAttr(ctx *request, n vfs.Node) (vfs.Attr, error) {
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

// keep is how long the kernel may keep attributes and name.
func (fs *fileSystem) keep(a vfs.Attr) (attr, name time.Duration) {
	if fs.cfg.Shared {
		return 0, 0
	}
	if fs.prefetched != nil && max(a.Keep, a.KeepName) > 0 {
		return forever, forever
	}
	return kernelTime(a.Keep), kernelTime(max(a.Keep, a.KeepName))
}

// fillAttr translates attributes. The size of a file is what the page cache
// needs it to be.
func (fs *fileSystem) fillAttr(out *fuse.Attr, i *inode, a vfs.Attr, keep time.Duration) {
	*out = fuse.Attr{
		Ino: a.ID, Size: a.Size, Mode: a.Mode, Nlink: a.Nlink,
		Owner: fuse.Owner{Uid: a.UID, Gid: a.GID},
	}
	if !a.Mtime.IsZero() {
		out.SetTimes(&a.Atime, &a.Mtime, &a.Ctime)
	}
	if i.kind == vfs.TypeFile && !fs.cfg.Shared && fs.prefetched == nil {
		out.Size = i.pages.attr(fs.notify, i.id, a, keep)
	}
}

// GetAttr implements GETATTR.
func (fs *fileSystem) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	ctx, _, i, n, err := fs.begin(&in.InHeader)
	if err != nil {
		return statusOf(err)
	}
	if fs.prefetched != nil && i.kind == vfs.TypeFile {
		_, a, err := fs.prefetched.get(ctx, i, n)
		if err != nil {
			return statusOf(err)
		}
		fs.prefetched.attr(&out.Attr, a)
		out.SetTimeout(forever)
		return fuse.OK
	}
	a, err := n.Attr(ctx)
	if err != nil {
		// A file that is open can be read to its end though the object is gone;
		// the kernel asks for attributes on the way.
		last, ok := i.pages.last()
		if !ok {
			return statusOf(err)
		}
		a, a.Keep = last, 0
	}
	keep, _ := fs.keep(a)
	out.SetTimeout(keep)
	fs.fillAttr(&out.Attr, i, a, keep)
	return fuse.OK
}
