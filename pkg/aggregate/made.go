package aggregate

import (
	"context"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// made is what the directories, files and links that are no node's have in
// common.
type made struct {
	since time.Time     // their times: when the tree began
	keep  time.Duration // how long their names and attributes are good
}

// permissions of what is made.
func permissions(t vfs.Type) uint32 {
	switch t {
	case vfs.TypeDir:
		return 0o555
	case vfs.TypeLink:
		return 0o777
	}
	return 0o444
}

func (m made) attr(id uint64, t vfs.Type) vfs.Attr {
	a := vfs.Attr{ID: id, Mode: uint32(t) | permissions(t), Nlink: 1, Atime: m.since, Mtime: m.since, Ctime: m.since, Keep: m.keep}
	if t == vfs.TypeDir {
		a.Nlink = 2
	}
	return a
}

// madeDir is a directory of the tree's own.
type madeDir struct {
	made
	id   uint64
	walk func(ctx context.Context, name string) (vfs.Node, error)
	list func(ctx context.Context) ([]vfs.DirEntry, error)
}

// ID implements vfs.Node.
func (d *madeDir) ID() uint64 { return d.id }

// Type implements vfs.Node.
func (d *madeDir) Type() vfs.Type { return vfs.TypeDir }

// Attr implements vfs.Node.
func (d *madeDir) Attr(context.Context) (vfs.Attr, error) { return d.attr(d.id, vfs.TypeDir), nil }

// Walk implements vfs.Dir.
func (d *madeDir) Walk(ctx context.Context, name string) (vfs.Node, error) { return d.walk(ctx, name) }

// List implements vfs.Dir.
func (d *madeDir) List(context.Context) (vfs.DirHandle, error) { return vfs.NewListing(d.list), nil }

// madeFile is a file whose content is made at each open and kept nowhere.
type madeFile struct {
	made
	id      uint64
	content func(ctx context.Context) ([]byte, error)
}

// ID implements vfs.Node.
func (f *madeFile) ID() uint64 { return f.id }

// Type implements vfs.Node.
func (f *madeFile) Type() vfs.Type { return vfs.TypeFile }

// Attr implements vfs.Node. The size is 0, as that of all files in procfs, and
// nothing but the name is to be kept, since it is another file at each open.
func (f *madeFile) Attr(context.Context) (vfs.Attr, error) {
	a := f.attr(f.id, vfs.TypeFile)
	a.Keep, a.KeepName = 0, a.Keep
	return a, nil
}

// Open implements vfs.File.
func (f *madeFile) Open(ctx context.Context) (vfs.Handle, error) {
	b, err := f.content(ctx)
	if err != nil {
		return nil, err
	}
	return vfs.NewBytes(b, 0), nil
}
