package vfstest

import (
	"context"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A mutant is the sample tree with one fault.
type mutant struct {
	vfs.Tree
	change func(vfs.Node) vfs.Node
}

func (m mutant) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	n, err := m.Tree.Attach(ctx, who, aname)
	if err != nil {
		return nil, err
	}
	return m.wrap(n), nil
}

// wrap puts the fault on top of a node and of all that it leads to.
func (m mutant) wrap(n vfs.Node) vfs.Node {
	if d, ok := n.(vfs.Dir); ok {
		n = mutantDir{d, m}
	}
	return m.change(n)
}

type mutantDir struct {
	vfs.Dir
	m mutant
}

func (d mutantDir) Walk(ctx context.Context, name string) (vfs.Node, error) {
	n, err := d.Dir.Walk(ctx, name)
	if err != nil {
		return nil, err
	}
	return d.m.wrap(n), nil
}

// The wrappers with a field for what they change.
type (
	dirWith struct {
		vfs.Dir
		walk func(context.Context, string) (vfs.Node, error)
		list func(context.Context) (vfs.DirHandle, error)
	}
	fileWith struct {
		vfs.File
		open func(context.Context) (vfs.Handle, error)
	}
	attrWith struct {
		vfs.File
		attr func(context.Context) (vfs.Attr, error)
		id   func() uint64
	}
	handleWith struct {
		vfs.Handle
		readAt func(context.Context, []byte, int64) (int, error)
	}
	listingWith struct {
		vfs.DirHandle
		readDir func(context.Context, uint64, []vfs.DirEntry, int) ([]vfs.DirEntry, error)
	}
	linkWith struct {
		vfs.Link
		readlink func(context.Context) (string, error)
	}
)

func (d dirWith) Walk(ctx context.Context, name string) (vfs.Node, error) {
	if d.walk == nil {
		return d.Dir.Walk(ctx, name)
	}
	return d.walk(ctx, name)
}

func (d dirWith) List(ctx context.Context) (vfs.DirHandle, error) {
	if d.list == nil {
		return d.Dir.List(ctx)
	}
	return d.list(ctx)
}

func (f fileWith) Open(ctx context.Context) (vfs.Handle, error) { return f.open(ctx) }
func (l linkWith) Readlink(ctx context.Context) (string, error) { return l.readlink(ctx) }
func (f attrWith) Attr(ctx context.Context) (vfs.Attr, error)   { return f.attr(ctx) }
func (h handleWith) ReadAt(c context.Context, p []byte, o int64) (int, error) {
	return h.readAt(c, p, o)
}

func (f attrWith) ID() uint64 {
	if f.id == nil {
		return f.File.ID()
	}
	return f.id()
}

func (l listingWith) ReadDir(ctx context.Context, off uint64, dst []vfs.DirEntry, max int) ([]vfs.DirEntry, error) {
	return l.readDir(ctx, off, dst, max)
}

// reading changes how open files read, listing how open directories do.
func reading(change func(h vfs.Handle, ctx context.Context, p []byte, off int64) (int, error)) func(vfs.Node) vfs.Node {
	return files(func(f vfs.File) vfs.Node {
		return fileWith{f, func(ctx context.Context) (vfs.Handle, error) {
			h, err := f.Open(ctx)
			if err != nil {
				return nil, err
			}
			return handleWith{h, func(ctx context.Context, p []byte, off int64) (int, error) { return change(h, ctx, p, off) }}, nil
		}}
	})
}

type readDir = func(ctx context.Context, off uint64, dst []vfs.DirEntry, max int) ([]vfs.DirEntry, error)

func listing(change func(h vfs.DirHandle) readDir) func(vfs.Node) vfs.Node {
	return dirs(func(d vfs.Dir) vfs.Node {
		return dirWith{Dir: d, list: func(ctx context.Context) (vfs.DirHandle, error) {
			h, err := d.List(ctx)
			if err != nil {
				return nil, err
			}
			return listingWith{h, change(h)}, nil
		}}
	})
}

func files(change func(vfs.File) vfs.Node) func(vfs.Node) vfs.Node {
	return func(n vfs.Node) vfs.Node {
		if f, ok := n.(vfs.File); ok {
			return change(f)
		}
		return n
	}
}

func dirs(change func(vfs.Dir) vfs.Node) func(vfs.Node) vfs.Node {
	return func(n vfs.Node) vfs.Node {
		if d, ok := n.(vfs.Dir); ok {
			return change(d)
		}
		return n
	}
}

func walking(change func(d vfs.Dir, ctx context.Context, name string) (vfs.Node, error)) func(vfs.Node) vfs.Node {
	return dirs(func(d vfs.Dir) vfs.Node {
		return dirWith{Dir: d, walk: func(ctx context.Context, name string) (vfs.Node, error) { return change(d, ctx, name) }}
	})
}

func attributes(change func(*vfs.Attr)) func(vfs.Node) vfs.Node {
	return files(func(f vfs.File) vfs.Node {
		return attrWith{File: f, attr: func(ctx context.Context) (vfs.Attr, error) {
			a, err := f.Attr(ctx)
			change(&a)
			return a, err
		}}
	})
}
