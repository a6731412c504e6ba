package procfs9p

import (
	"context"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// WalkPath implements vfs.PathWalker.
func (d dir) WalkPath(ctx context.Context, names ...string) (vfs.Node, []uint64, error) {
	end, mayBlock := d.way(names)
	key, err := d.keyOf(ctx, end, names, mayBlock)
	if err != nil {
		return nil, nil, err
	}
	type walked struct {
		node vfs.Node
		ids  []uint64
	}
	w, err := run(ctx, d.s, key, mayBlock, func() (walked, error) {
		w := walked{d, make([]uint64, 0, len(names))}
		for _, name := range names {
			at, ok := w.node.(dir)
			if !ok {
				return w, syscall.ENOTDIR
			}
			next, err := at.step(name)
			if err != nil {
				return w, err
			}
			w.node, w.ids = next, append(w.ids, next.ID())
		}
		return w, nil
	})
	if err != nil {
		return nil, nil, err
	}
	return w.node, w.ids, nil
}

// OpenPath implements vfs.PathOpener. A file is opened without a look at what is
// on the way to it, but for the process.
func (d dir) OpenPath(ctx context.Context, names ...string) (vfs.Handle, []uint64, error) {
	end, mayBlock := d.way(names)
	if end.pid == 0 && procfile.Root.File(names[0]).Self != "" && d.isRoot() || end.rel == "" {
		return d.openWalked(ctx, names)
	}
	if end.table().Hidden(end.rel) {
		return nil, nil, syscall.ENOENT
	}
	mayBlock = mayBlock || end.table().MayBlock(end.rel)
	key, err := d.keyOf(ctx, end, names, mayBlock)
	if err != nil {
		return nil, nil, err
	}
	type opened struct {
		content []byte
		proc    uint64
	}
	o, err := run(ctx, d.s, key, mayBlock, func() (o opened, err error) {
		base, proc, err := end.enter(openFile)
		if err != nil {
			return o, err
		}
		defer end.closeBase(base)
		o.proc = proc
		if o.content, err = end.read(base, proc); err != nil {
			err = explain(base, end.rel, err)
		}
		return o, err
	})
	if err != nil {
		return nil, nil, err
	}
	return vfs.NewOnce(o.content), d.idsOf(o.proc, names), nil
}

// openWalked is OpenPath of what is no file.
func (d dir) openWalked(ctx context.Context, names []string) (vfs.Handle, []uint64, error) {
	n, _, err := d.WalkPath(ctx, names...)
	if err != nil {
		return nil, nil, err
	}
	if n.Type() == vfs.TypeDir {
		return nil, nil, syscall.EISDIR
	}
	return nil, nil, syscall.ELOOP
}

// explain says what an error of open(2) means to a walk, which finds out what a
// name is before it asks whether that may be read.
func explain(base int, rel string, err error) error {
	if err != syscall.ELOOP && err != syscall.EACCES && err != syscall.EPERM {
		return err
	}
	var st unix.Statx_t
	switch looked := statBelow(base, rel, &st); looked {
	case nil:
	case syscall.ELOOP: // on the way
		return syscall.ENOTDIR
	default:
		return looked
	}
	switch vfs.Type(st.Mode & vfs.TypeMask) {
	case vfs.TypeDir:
		return syscall.EISDIR
	case vfs.TypeLink:
		return syscall.ELOOP
	}
	return err
}

// way is where names lead from d, without any look at it, and whether to go
// there may block. Which process it is, is not known if that is on the way.
func (d dir) way(names []string) (end node, mayBlock bool) {
	end = d.node
	for i, name := range names {
		if i == 0 && d.isRoot() {
			if pid, ok := parsePID(name); ok {
				end.pid, end.proc = pid, 0
				continue
			}
		}
		mayBlock = mayBlock || end.table().MayBlockIn(end.rel)
		end = end.child(name, 0)
	}
	return end, mayBlock
}

// keyOf is the lockKey of end. To learn it, where it matters, the leaf looks at
// the process with its own rights; the requester learns from it only what they may
// see.
func (d dir) keyOf(ctx context.Context, end node, names []string, mayBlock bool) (uint64, error) {
	if end.pid == 0 || d.pid != 0 || !mayBlock {
		return end.lockKey(), nil
	}
	l := d.s.leaf
	key, err := run(ctx, l.itself, 0, false, func() (uint64, error) { return l.procs.idOf(end.pid, names[0]) })
	if err == nil && !d.s.who.IsRoot() && l.guard.refused(key) != nil {
		_, err = d.Walk(ctx, names[0])
	}
	return key, err
}

// idsOf are the ids of what is on the way along names, if it leads through the
// process proc.
func (d dir) idsOf(proc uint64, names []string) []uint64 {
	ids, id := make([]uint64, len(names)), d.id
	for i, name := range names {
		if i == 0 && d.isRoot() && proc != 0 {
			id = proc
		} else {
			id = d.s.leaf.childID(id, name)
		}
		ids[i] = id
	}
	return ids
}
