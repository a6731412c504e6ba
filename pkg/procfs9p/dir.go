package procfs9p

import (
	"context"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

type dir struct{ node }

var (
	_ vfs.Dir        = dir{}
	_ vfs.PathOpener = dir{}
	_ vfs.PathWalker = dir{}
)

// Walk implements vfs.Dir.
func (d dir) Walk(ctx context.Context, name string) (vfs.Node, error) {
	mayBlock := d.table().MayBlockIn(d.rel) && !d.knows(name)
	return run(ctx, d.s, d.child(name, 0).lockKey(), mayBlock, func() (vfs.Node, error) { return d.step(name) })
}

// List implements vfs.Dir.
func (d dir) List(ctx context.Context) (vfs.DirHandle, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return vfs.NewListing(d.load), nil
}

func (d dir) isRoot() bool { return d.pid == 0 && d.rel == "" }

// knows reports whether name has been seen in a process directory. The kernel
// makes them all from one table (tgid_base_stuff in fs/proc/base.c), so that a
// name seen in one is in all. What the superuser was shown tells others nothing:
// for them the kernel is asked.
func (d dir) knows(name string) bool {
	_, known := d.knownType(name)
	return known
}

func (d dir) knownType(name string) (vfs.Type, bool) {
	if d.pid == 0 || d.rel != "" || !d.s.who.IsRoot() {
		return 0, false
	}
	typ, known := d.s.leaf.entries.Load(name)
	if !known {
		return 0, false
	}
	return typ.(vfs.Type), true
}

// The methods below make system calls: they run within run.

// step is Walk.
func (d dir) step(name string) (vfs.Node, error) {
	if d.isRoot() {
		if text := procfile.Root.File(name).Self; text != "" {
			return selfLink{node: d.child(name, vfs.TypeLink), text: text}, nil
		}
		if pid, ok := parsePID(name); ok {
			return d.stepProcess(pid, name)
		}
	}
	c := d.child(name, 0)
	if c.table().Hidden(c.rel) {
		return nil, syscall.ENOENT
	}
	if typ, known := d.knownType(name); known {
		c.typ = typ
		return d.stepKnown(c)
	}
	var st unix.Statx_t
	if err := c.stat(&st); err != nil {
		return nil, err
	}
	switch c.typ = vfs.Type(st.Mode & vfs.TypeMask); c.typ {
	case vfs.TypeDir, vfs.TypeFile, vfs.TypeLink:
	default: // none of the types that a tree can hold: procfs has no such thing
		return nil, syscall.ENOENT
	}
	if d.pid != 0 && d.rel == "" {
		d.s.leaf.entries.Store(name, c.typ)
	}
	return c.wrap(), nil
}

// stepKnown walks to an entry that all process directories have: only the
// process need be looked at.
func (d dir) stepKnown(c node) (vfs.Node, error) {
	l := d.s.leaf
	var st unix.Statx_t
	if err := statAt(l.rootFD(), pidName(d.pid), &st); err != nil {
		return nil, err
	}
	id, ok := l.procs.known(d.pid, st.Ino)
	if !ok { // forgotten, or another process
		base, _, err := d.enter(lookUp)
		if err != nil {
			return nil, err
		}
		d.closeBase(base)
	} else if id != d.proc {
		return nil, syscall.ENOENT
	}
	return c.wrap(), nil
}

// stepProcess is the directory of the process that has that pid now.
func (d dir) stepProcess(pid int32, name string) (vfs.Node, error) {
	id, err := d.s.leaf.procs.idOf(pid, name)
	if err != nil {
		return nil, err
	}
	n := node{s: d.s, id: id, typ: vfs.TypeDir, pid: pid, proc: id}
	if err := n.ownRefuses(id, lookUp); err != nil {
		return nil, err
	}
	return dir{n}, nil
}
