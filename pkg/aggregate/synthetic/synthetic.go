// Package synthetic makes the directories, files and links of a tree that no node has: what
// the front end itself knows.
package synthetic

import (
	"context"
	"hash/fnv"
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Base is what the synthetic objects of one tree have in common.
type Base struct {
	Since time.Time     // their times: when the tree began
	Keep  time.Duration // how long their names and attributes may be cached
}

// Attr is what all objects of that type have.
func (b Base) Attr(id uint64, t vfs.Type) vfs.Attr {
	a := vfs.Attr{ID: id, Mode: uint32(t), Nlink: 1, Atime: b.Since, Mtime: b.Since, Ctime: b.Since, Keep: b.Keep}
	switch t {
	case vfs.TypeDir:
		a.Mode, a.Nlink = a.Mode|0o555, 2
	case vfs.TypeLink:
		a.Mode |= 0o777
	default:
		// The size is 0, as that of all files in procfs, and nothing but the name may be
		// cached, since it is another file at each open.
		a.Mode, a.Keep, a.KeepName = a.Mode|0o444, 0, a.Keep
	}
	return a
}

// object is what they all are to the vfs.
type object struct {
	Base
	id uint64
	t  vfs.Type
}

// ID implements vfs.Node.
func (o *object) ID() uint64 { return o.id }

// Type implements vfs.Node.
func (o *object) Type() vfs.Type { return o.t }

// Attr implements vfs.Node.
func (o *object) Attr(context.Context) (vfs.Attr, error) { return o.Base.Attr(o.id, o.t), nil }

// Dir is a directory.
type Dir struct {
	object
	walk func(ctx context.Context, name string) (vfs.Node, error)
	list func(ctx context.Context) ([]vfs.DirEntry, error)
}

// Dir makes a directory. list may be nil: its names can be walked to, and are not listed.
func (b Base) Dir(id uint64, walk func(context.Context, string) (vfs.Node, error), list func(context.Context) ([]vfs.DirEntry, error)) *Dir {
	if list == nil {
		list = func(context.Context) ([]vfs.DirEntry, error) { return nil, nil }
	}
	return &Dir{object{b, id, vfs.TypeDir}, walk, list}
}

// Walk implements vfs.Dir.
func (d *Dir) Walk(ctx context.Context, name string) (vfs.Node, error) { return d.walk(ctx, name) }

// List implements vfs.Dir.
func (d *Dir) List(context.Context) (vfs.DirHandle, error) { return vfs.NewListing(d.list), nil }

// File is a file whose content is made at each open.
type File struct {
	object
	open func(ctx context.Context) (vfs.Handle, error)
}

// File makes a file of that content.
func (b Base) File(id uint64, content func(context.Context) ([]byte, error)) *File {
	return b.Stream(id, func(ctx context.Context) (vfs.Handle, error) {
		text, err := content(ctx)
		if err != nil {
			return nil, err
		}
		return vfs.NewBytes(text, 0), nil
	})
}

// Stream makes a file whose content is made while it is read.
func (b Base) Stream(id uint64, open func(context.Context) (vfs.Handle, error)) *File {
	return &File{object{b, id, vfs.TypeFile}, open}
}

// Open implements vfs.File.
func (f *File) Open(ctx context.Context) (vfs.Handle, error) { return f.open(ctx) }

// Link is a symbolic link.
type Link struct {
	object
	Target string
}

// Link makes a link.
func (b Base) Link(id uint64, target string) *Link {
	return &Link{object{b, id, vfs.TypeLink}, target}
}

// Attr implements vfs.Node.
func (l *Link) Attr(context.Context) (vfs.Attr, error) {
	a := l.Base.Attr(l.id, l.t)
	a.Size = uint64(len(l.Target))
	return a, nil
}

// Readlink implements vfs.Link.
func (l *Link) Readlink(context.Context) (string, error) { return l.Target, nil }

// Entry is the entry of a name that is no number. Its offset comes from the
// name alone, so that it is the same whatever else there is, and lies behind
// those of all numbers.
func Entry(parent uint64, name string, t vfs.Type) vfs.DirEntry {
	h := fnv.New64a()
	h.Write([]byte(name))
	return vfs.DirEntry{Name: name, ID: objectid.Child(parent, name), Type: t, Next: 1<<32 + h.Sum64()>>24}
}

// Sort sorts entries by their offsets.
func Sort(all []vfs.DirEntry) []vfs.DirEntry {
	slices.SortFunc(all, func(a, b vfs.DirEntry) int {
		if a.Next < b.Next {
			return -1
		}
		return 1
	})
	return all
}
