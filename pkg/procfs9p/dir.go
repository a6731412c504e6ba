package procfs9p

import (
	"context"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

type dir struct{ node }

var (
	_ vfs.Dir        = dir{}
	_ vfs.PathOpener = dir{}
)

// Walk implements vfs.Dir.
func (d dir) Walk(ctx context.Context, name string) (vfs.Node, error) {
	if d.isRoot() {
		if text, ok := selfLinks[name]; ok {
			return selfLink{node: d.child(name, vfs.TypeLink), text: text}, nil
		}
		if pid, ok := parsePID(name); ok {
			return d.walkProcess(ctx, pid, name)
		}
	}
	c := d.child(name, 0)
	if hidden(c.pid != 0, c.rel) {
		return nil, syscall.ENOENT
	}
	if d.pid != 0 && d.rel == "" && d.s.who.IsRoot() {
		if typ, ok := d.s.leaf.entries.Load(name); ok {
			c.typ = typ.(vfs.Type)
			return d.walkKnown(ctx, c)
		}
	}
	typ, err := run(ctx, d.s, c.lockKey(), mayBlockDir(d.pid != 0, d.rel), func() (vfs.Type, error) {
		var st unix.Statx_t
		err := c.stat(&st)
		return vfs.Type(st.Mode & vfs.TypeMask), err
	})
	if err != nil {
		return nil, err
	}
	c.typ = typ
	n, err := checked(c)
	if err == nil && d.pid != 0 && d.rel == "" {
		d.s.leaf.entries.Store(name, typ)
	}
	return n, err
}

// walkKnown walks to an entry that all process directories have: the kernel
// makes them from one table (tgid_base_stuff in fs/proc/base.c), so a name seen
// in one is in all. Only the process need be looked at.
func (d dir) walkKnown(ctx context.Context, c node) (vfs.Node, error) {
	l := d.s.leaf
	return run(ctx, d.s, 0, false, func() (vfs.Node, error) {
		var st unix.Statx_t
		if err := statAt(l.rootFD(), pidName(d.pid), &st); err != nil {
			return nil, err
		}
		id, ok := l.procs.known(d.pid, st.Ino)
		if !ok { // forgotten, or another process
			base, err := d.base()
			if err != nil {
				return nil, err
			}
			d.closeBase(base)
		} else if id != d.proc {
			return nil, syscall.ENOENT
		}
		return c.wrap(), nil
	})
}

// checked refuses what is none of the types that a tree can hold; procfs has
// no such thing.
func checked(n node) (vfs.Node, error) {
	switch n.typ {
	case vfs.TypeDir, vfs.TypeFile, vfs.TypeLink:
		return n.wrap(), nil
	}
	return nil, syscall.ENOENT
}

func (d dir) isRoot() bool { return d.pid == 0 && d.rel == "" }

// walkProcess is the directory of the process that has that pid now.
func (d dir) walkProcess(ctx context.Context, pid int32, name string) (vfs.Node, error) {
	l := d.s.leaf
	id, err := run(ctx, d.s, 0, false, func() (uint64, error) {
		var st unix.Statx_t
		if err := statAt(l.rootFD(), name, &st); err != nil {
			return 0, err
		}
		if id, ok := l.procs.known(pid, st.Ino); ok {
			return id, nil
		}
		fd, id, err := l.openProcess(pid)
		if err != nil {
			return 0, err
		}
		unix.Close(fd)
		return id, nil
	})
	if err != nil {
		return nil, err
	}
	return dir{node{s: d.s, id: id, typ: vfs.TypeDir, pid: pid, proc: id}}, nil
}

// List implements vfs.Dir.
func (d dir) List(ctx context.Context) (vfs.DirHandle, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return vfs.NewListing(d.load), nil
}

// OpenPath implements vfs.PathOpener. A file of a process is opened with one
// look at the process.
func (d dir) OpenPath(ctx context.Context, names ...string) (vfs.Handle, []uint64, error) {
	if len(names) == 2 && d.isRoot() {
		if pid, ok := parsePID(names[0]); ok && !hidden(true, names[1]) {
			return d.openOf(ctx, pid, names[1])
		}
	}
	n, ids, err := vfs.WalkPath(ctx, d, names...)
	if err != nil {
		return nil, nil, err
	}
	switch f := n.(type) {
	case vfs.File:
		h, err := f.Open(ctx)
		return h, ids, err
	case vfs.Dir:
		return nil, nil, syscall.EISDIR
	}
	return nil, nil, syscall.ELOOP
}

// openOf opens the file name of the process that has that pid now.
func (d dir) openOf(ctx context.Context, pid int32, name string) (vfs.Handle, []uint64, error) {
	l := d.s.leaf
	type opened struct {
		content []byte
		proc    uint64
	}
	mayBlock := mayBlockFile(true, name)
	key := uint64(0)
	if mayBlock {
		// Whose locks these are must be known before they are waited for.
		p, err := d.walkProcess(ctx, pid, "")
		if err != nil {
			return nil, nil, err
		}
		key = p.ID()
	}
	o, err := run(ctx, d.s, key, mayBlock, func() (o opened, err error) {
		base, id, err := l.openProcess(pid)
		if err != nil {
			return o, err
		}
		defer unix.Close(base)
		o.proc = id
		o.content, err = l.readFile(base, name, onceFiles[name])
		return o, err
	})
	if err != nil {
		return nil, nil, err
	}
	return vfs.NewBytes(o.content, 0), []uint64{o.proc, l.childID(o.proc, name)}, nil
}
