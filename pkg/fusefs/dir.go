package fusefs

import (
	"math"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/fusefs/device"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// The offsets behind the two entries that every directory begins with; an entry
// of the tree follows at its own offset plus dots.
const (
	afterDot    = 1
	afterDotDot = 2
	dots        = 2
)

const (
	// defaultPlusTime is how long one READDIRPLUS may spend on attributes; the
	// entries left are answered without, and looked up if anybody wants to know.
	defaultPlusTime = 5 * time.Millisecond
	// entrySize is the shortest entry of an answer in bytes: a struct
	// fuse_dirent with a name of up to 8 bytes.
	entrySize = 32
	plusSize  = entrySize + 128 // and a struct fuse_entry_out
)

// An openDir is one opendir(3).
type openDir struct {
	users  users
	inode  *inode
	handle vfs.DirHandle
	shares *shares // that it counts in
	pin    pin     // the handle
	read   listing
}

// OpenDir implements OPENDIR.
func (fs *fileSystem) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	ctx, v, i, n, err := fs.begin(&in.InHeader)
	if err != nil {
		return statusOf(err)
	}
	dir, ok := n.(vfs.Dir)
	if !ok {
		return fuse.ENOTDIR
	}
	if !opening(&v.shares.dirs) {
		return fuse.Status(syscall.ENFILE)
	}
	h, err := dir.List(ctx)
	if err != nil {
		v.shares.dirs.Add(-1)
		return statusOf(err)
	}
	d := &openDir{inode: i, handle: h, shares: v.shares, pin: pin{share: &v.shares.bytes}}
	d.users.n.Store(1)
	i.dirs.Add(1)
	if err = d.hold(); err != nil {
		d.leave()
		return statusOf(err)
	}
	out.Fh = fs.dirs.add(d)
	return fuse.OK
}

// ReadDir implements READDIR.
func (fs *fileSystem) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	_, v, parent, _, err := fs.begin(&in.InHeader)
	if err != nil {
		return statusOf(err)
	}
	return fs.list(in, v, entrySize, func(_ *device.Request, e fuse.DirEntry) bool {
		if !out.AddDirEntry(e) {
			return false
		}
		if e.Off > dots {
			fs.inodes.list(parent, e.Name, v.mark)
		}
		return true
	})
}

// ReadDirPlus implements READDIRPLUS: each entry is also a LOOKUP.
func (fs *fileSystem) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	_, v, parent, n, err := fs.begin(&in.InHeader)
	if err != nil {
		return statusOf(err)
	}
	dir, ok := n.(vfs.Dir)
	if !ok {
		return fuse.ENOTDIR
	}
	var start time.Time // when the entries were there: to list a root it is swept
	return fs.list(in, v, plusSize, func(ctx *device.Request, e fuse.DirEntry) bool {
		entry := out.AddDirLookupEntry(e)
		if entry == nil {
			return false
		}
		if e.Off <= dots {
			return true // node id 0: the name alone
		}
		if start.IsZero() {
			start = time.Now()
		}
		if time.Since(start) > fs.cfg.plusTime || !fs.enterListed(ctx, parent, dir, v, e, entry) {
			fs.inodes.list(parent, e.Name, v.mark)
		}
		return true
	})
}

// enterListed makes an entry of READDIRPLUS the answer of a LOOKUP too, if it
// is still what the listing says.
func (fs *fileSystem) enterListed(ctx *device.Request, parent *inode, dir vfs.Dir, v *viewer, e fuse.DirEntry, out *fuse.EntryOut) bool {
	if !fs.mode.expands(parent, e) {
		return false
	}
	child, err := dir.Walk(ctx, e.Name)
	if err != nil || child.ID() != e.Ino {
		return false
	}
	a, err := entryAttr(ctx, child)
	if err == nil {
		_, err = fs.enter(ctx, parent, e.Name, v, child, a, true, out)
	}
	return err == nil
}

// list gives the entries from in.Offset on to add, until that has no more room.
func (fs *fileSystem) list(in *fuse.ReadIn, v *viewer, size int, add func(*device.Request, fuse.DirEntry) bool) fuse.Status {
	ctx := fs.conn.Request(in.Unique)
	d, ok := fs.dirs.get(in.Fh)
	if ctx == nil || !ok || !d.users.enter() {
		return fuse.Status(syscall.ESTALE)
	}
	defer d.leave()
	number := d.read.resume(&fs.inodes, d.inode, in.Offset)
	if in.Offset < afterDot && !add(ctx, fuse.DirEntry{Name: ".", Ino: d.inode.ino(), Mode: uint32(vfs.TypeDir), Off: afterDot}) {
		return fuse.EINVAL
	}
	if in.Offset < afterDotDot && !add(ctx, fuse.DirEntry{Name: "..", Ino: d.inode.up().ino(), Mode: uint32(vfs.TypeDir), Off: afterDotDot}) {
		return fuse.OK
	}
	entries, err := d.handle.ReadDir(ctx, max(in.Offset, dots)-dots, nil, max(1, int(in.Size)/size))
	if err == nil {
		err = d.hold()
	}
	if err != nil {
		return statusOf(err)
	}
	if in.Offset <= dots {
		fs.mode.listing(ctx, d.inode)
	}
	if len(entries) == 0 && number != 0 {
		fs.pruner.prune(pruning{dir: d.inode, number: number, by: v.mark})
	}
	reached := uint64(afterDotDot)
	for _, e := range entries {
		if !vfs.ValidName(e.Name) || e.Next > math.MaxInt64-dots {
			continue // not an element, or no place for off_t
		}
		if !add(ctx, fuse.DirEntry{Name: e.Name, Ino: e.ID, Mode: uint32(e.Type), Off: e.Next + dots}) {
			break
		}
		reached = e.Next + dots
	}
	d.read.advance(number, reached)
	return fuse.OK
}

// ReleaseDir implements RELEASEDIR.
func (fs *fileSystem) ReleaseDir(in *fuse.ReleaseIn) {
	if d, ok := fs.dirs.remove(in.Fh); ok {
		d.leave()
	}
}

// hold puts what the handle holds on the mount's account. Where there is no room the handle lets
// go of it: ENFILE.
func (d *openDir) hold() error {
	if d.pin.set(holds(d.handle)) {
		return nil
	}
	if h, ok := d.handle.(vfs.Holder); ok {
		h.Forget()
	}
	return syscall.ENFILE
}

func (d *openDir) leave() {
	if d.users.leave() {
		_ = d.handle.Close() // nobody is left to be told
		d.pin.set(0)
		d.inode.dirs.Add(-1)
		d.shares.dirs.Add(-1)
	}
}
