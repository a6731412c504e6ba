// Package stage is what is served when servers of 9P are compared: one small file,
// one large one, and one directory with many entries.
package stage

import (
	"context"
	"fmt"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

const (
	Small   = 1300     // bytes of the file "status"
	Large   = 64 << 20 // bytes of the file "bulk"
	Entries = 5000     // files in the directory "many"
)

// Names of what is served.
const (
	Status = "status"
	Bulk   = "bulk"
	Many   = "many"
)

// Content is that of a file.
func Content(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

// Entry is the name of an entry of the directory.
func Entry(i int) string { return fmt.Sprintf("%d", 100000+i) }

// A Tree is it as a vfs tree.
type Tree struct {
	small, large *vfs.Bytes
	many         []vfs.DirEntry
}

// New makes the tree.
func New() *Tree {
	t := &Tree{small: vfs.NewBytes(Content(Small), 0), large: vfs.NewBytes(Content(Large), 0)}
	for i := range Entries {
		t.many = append(t.many, vfs.DirEntry{Name: Entry(i), ID: uint64(1000 + i), Type: vfs.TypeFile, Next: uint64(i + 1)})
	}
	return t
}

// Attach implements vfs.Tree.
func (t *Tree) Attach(context.Context, vfs.Identity, string) (vfs.Node, error) {
	return &dir{node{1, vfs.TypeDir}, t}, nil
}

type node struct {
	id  uint64
	typ vfs.Type
}

func (n node) ID() uint64     { return n.id }
func (n node) Type() vfs.Type { return n.typ }
func (n node) Attr(context.Context) (vfs.Attr, error) {
	return vfs.Attr{ID: n.id, Mode: uint32(n.typ) | 0o555, Nlink: 1}, nil
}

type dir struct {
	node
	t *Tree
}

func (d *dir) Walk(_ context.Context, name string) (vfs.Node, error) {
	switch name {
	case Status:
		return &file{node{2, vfs.TypeFile}, d.t.small}, nil
	case Bulk:
		return &file{node{3, vfs.TypeFile}, d.t.large}, nil
	case Many:
		return &dir{node{4, vfs.TypeDir}, d.t}, nil
	}
	return nil, syscall.ENOENT
}

func (d *dir) List(context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(func(context.Context) ([]vfs.DirEntry, error) { return d.t.many, nil }), nil
}

type file struct {
	node
	content *vfs.Bytes
}

func (f *file) Open(context.Context) (vfs.Handle, error) { return f.content, nil }
