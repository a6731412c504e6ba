package vfstest

import (
	"context"
	"slices"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// An object is what a path stands for. Its id and path never change; the
// tree's lock guards the rest.
type object struct {
	id   uint64
	path string

	entry    Entry
	gone     bool
	children map[string]*object
	order    []child // of children, sorted by seq
	lastSeq  uint64  // never goes back, so that listings resume whatever is dropped
}

type child struct {
	name string
	seq  uint64
	o    *object
}

func (t *Tree) newObjectLocked(path string, e Entry) *object {
	t.lastID++
	o := &object{id: t.lastID, path: path, entry: e}
	if e.kind() == vfs.TypeDir {
		o.children = make(map[string]*object)
	}
	return o
}

func (o *object) addLocked(name string, c *object) {
	o.lastSeq++
	o.children[name] = c
	o.order = append(o.order, child{name, o.lastSeq, c})
}

func (o *object) dropLocked(name string) {
	c := o.children[name]
	if c == nil {
		return
	}
	for below := range c.children {
		c.dropLocked(below)
	}
	c.gone = true
	delete(o.children, name)
	o.order = slices.DeleteFunc(o.order, func(e child) bool { return e.name == name })
}

// node is an object as one identity sees it.
type node struct {
	t    *Tree
	o    *object
	who  vfs.Identity
	kind vfs.Type
}

type (
	dirNode  struct{ node }
	fileNode struct{ node }
	linkNode struct{ node }
)

func (t *Tree) node(o *object, who vfs.Identity) vfs.Node {
	t.mu.RLock()
	n := node{t, o, who, o.entry.kind()}
	t.mu.RUnlock()
	switch n.kind {
	case vfs.TypeDir:
		return &dirNode{n}
	case vfs.TypeLink:
		return &linkNode{n}
	}
	return &fileNode{n}
}

func (n *node) ID() uint64     { return n.o.id }
func (n *node) Type() vfs.Type { return n.kind }

// enter begins an operation and returns the entry, unless the object is gone.
func (n *node) enter(ctx context.Context, op Op) (Entry, error) {
	if err := n.t.enter(ctx, op, n.o.path); err != nil {
		return nil, err
	}
	n.t.mu.RLock()
	defer n.t.mu.RUnlock()
	if n.o.gone {
		return nil, syscall.ENOENT
	}
	return n.o.entry, nil
}

func (n *node) Attr(ctx context.Context) (vfs.Attr, error) {
	entry, err := n.enter(ctx, OpAttr)
	if err != nil {
		return vfs.Attr{}, err
	}
	s := entry.stat()
	a := vfs.Attr{
		ID: n.o.id, Nlink: 1, UID: s.UID, GID: s.GID, Keep: s.Keep,
		Atime: s.Mtime, Mtime: s.Mtime, Ctime: s.Mtime,
	}
	switch e := entry.(type) {
	case Dir:
		a.Nlink, a.Mode = 2, uint32(vfs.TypeDir)|s.perm(0o555)
	case Link:
		a.Mode = uint32(vfs.TypeLink) | s.perm(0o777)
		a.Size = uint64(len(e.Target))
	case File:
		a.Mode = uint32(vfs.TypeFile) | s.perm(0o444)
		if !e.NoSize && e.Read == nil && e.RPC == nil {
			a.Size = uint64(len(e.Data))
		}
	}
	return a, nil
}

func (l *linkNode) Readlink(ctx context.Context) (string, error) {
	entry, err := l.enter(ctx, OpReadlink)
	if err != nil {
		return "", err
	}
	return entry.(Link).Target, nil
}

func (d *dirNode) Walk(ctx context.Context, name string) (vfs.Node, error) {
	if !vfs.ValidName(name) {
		d.t.violation("walk of %q, which is no element, in %q", name, d.o.path)
		return nil, syscall.EINVAL
	}
	path := name
	if d.o.path != "" {
		path = d.o.path + "/" + name
	}
	if err := d.t.enter(ctx, OpWalk, path); err != nil {
		return nil, err
	}
	d.t.mu.RLock()
	gone, c, keep := d.o.gone, d.o.children[name], d.o.entry.(Dir).MissingKeep
	if c != nil && !c.entry.stat().visible(d.who) {
		c = nil
	}
	d.t.mu.RUnlock()
	switch {
	case gone:
		return nil, syscall.ENOENT
	case c != nil:
		return d.t.node(c, d.who), nil
	case keep > 0:
		return nil, vfs.Missing{Keep: keep}
	}
	return nil, syscall.ENOENT
}

func (d *dirNode) List(ctx context.Context) (vfs.DirHandle, error) {
	if _, err := d.enter(ctx, OpList); err != nil {
		return nil, err
	}
	h := &dirHandle{dir: d, listing: vfs.NewListing(d.entries)}
	h.open(d.t, "directory "+d.o.path)
	return h, nil
}

// entries is what the directory holds now.
func (d *dirNode) entries(context.Context) ([]vfs.DirEntry, error) {
	d.t.mu.RLock()
	defer d.t.mu.RUnlock()
	list := make([]vfs.DirEntry, 0, len(d.o.order))
	for _, c := range d.o.order {
		if e := c.o.entry; e.stat().visible(d.who) {
			list = append(list, vfs.DirEntry{Name: c.name, ID: c.o.id, Type: e.kind(), Next: c.seq})
		}
	}
	return list, nil
}
