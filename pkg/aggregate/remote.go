package aggregate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// remote is an object on a node, read there at each use and kept nowhere. It
// is held as a path, not as a handle, so that it survives the connection. Where
// the path leads through a process, that it still is the same one is checked on
// every exchange by the numbers that the node gives for the elements on the way.
type remote struct {
	n    *node
	v    viewer
	proc *process // the process directory it is in; nil outside of one
	path []string // from the root of the node's tree, native names
	leaf uint64   // the node's number for the object; 0 where the path alone says which it is
	id   uint64   // the number in the merged tree
	attr vfs.Attr // as of the walk, or a guess; see Preview
}

// remoteDir, remoteFile and remoteLink are what a remote is to the vfs.
type (
	remoteDir  struct{ remote }
	remoteFile struct{ remote }
	remoteLink struct{ remote }
)

// node returns r as what its type says it is.
func (r remote) node() (vfs.Node, error) {
	switch r.attr.Type() {
	case vfs.TypeDir:
		return &remoteDir{r}, nil
	case vfs.TypeFile:
		return &remoteFile{r}, nil
	case vfs.TypeLink:
		return &remoteLink{r}, nil
	}
	return nil, fmt.Errorf("node %s: %v has mode %o, which no procfs has: %w", r.n.name, r.path, r.attr.Mode, syscall.EIO)
}

// ID implements vfs.Node.
func (r *remote) ID() uint64 { return r.id }

// Type implements vfs.Node.
func (r *remote) Type() vfs.Type { return r.attr.Type() }

// Preview implements vfs.Previewer: the attributes as they were when the name
// was walked, or what every file of that name has.
func (r *remote) Preview() vfs.Attr {
	a := r.attr
	a.ID = r.id
	return a
}

// exists tells whether what is at that path of the node exists for r's viewer,
// now: ENOENT if it does not.
func (r *remote) exists(path []string) error {
	if !r.v.admits(r.n, r.proc.ownerOrNobody, path) {
		return syscall.ENOENT
	}
	return nil
}

// check compares the numbers seen on the way to the object, or to something
// below it, with those that it is bound to.
func (r *remote) check(ids []uint64) error {
	if r.proc != nil && (len(ids) == 0 || ids[0] != r.proc.leaf) {
		return syscall.ESRCH
	}
	if n := len(r.path); r.leaf != 0 && n > 0 && (len(ids) < n || ids[n-1] != r.leaf) {
		return syscall.ESTALE
	}
	return nil
}

// walk walks to names below r and returns what is there.
func (r *remote) walk(ctx context.Context, names ...string) (found vfs.Node, ids []uint64, err error) {
	path := slices.Concat(r.path, names)
	if err := r.exists(path); err != nil {
		return nil, nil, err
	}
	err = r.n.call(ctx, r.v.identity(), func(ctx context.Context, root vfs.Dir) error {
		found, ids, err = vfs.WalkPath(ctx, root, path...)
		if err != nil {
			return err
		}
		return r.check(ids)
	})
	if err != nil {
		r.noteEnd(path, err)
	}
	return found, ids, err
}

// Attr implements vfs.Node.
func (r *remote) Attr(ctx context.Context) (vfs.Attr, error) {
	found, _, err := r.walk(ctx)
	if err != nil {
		return vfs.Attr{}, r.told(err)
	}
	a, err := r.attrOf(ctx, found)
	a.ID = r.id
	return a, r.told(err)
}

// attrOf is what a node that was just walked to says of itself, without asking
// twice.
func (r *remote) attrOf(ctx context.Context, found vfs.Node) (a vfs.Attr, err error) {
	if p, ok := found.(vfs.Previewer); ok {
		a = p.Preview()
	} else {
		err = r.n.call(ctx, r.v.identity(), func(ctx context.Context, _ vfs.Dir) error {
			a, err = found.Attr(ctx)
			return err
		})
	}
	a.Keep, a.KeepName = 0, 0
	return a, err
}

// child walks to the entry that is name in the merged tree and native on the
// node.
func (r *remote) child(ctx context.Context, name, native string) (vfs.Node, error) {
	found, ids, err := r.walk(ctx, native)
	if err != nil {
		return nil, r.told(err)
	}
	a, err := r.attrOf(ctx, found)
	if err != nil {
		return nil, r.told(err)
	}
	sub := remote{
		n: r.n, v: r.v, proc: r.proc,
		path: append(slices.Clip(r.path), native), id: childID(r.id, name), attr: a,
	}
	if r.leaf != 0 || namesProcess(native) {
		sub.leaf = ids[len(ids)-1]
	}
	return sub.node()
}

// namesProcess tells whether a name stands for a process or thread, and so may
// come to stand for another one.
func namesProcess(name string) bool {
	_, pid := gpid.Parse(name)
	return pid || strings.Contains(name, ":")
}

// Open implements vfs.File.
func (f *remoteFile) Open(ctx context.Context) (vfs.Handle, error) {
	if err := f.exists(f.path); err != nil {
		return nil, err
	}
	var h vfs.Handle
	var err error
	if key, ok := f.kept(); ok {
		h, err = f.openKept(ctx, key)
	} else {
		h, err = f.openNow(ctx)
	}
	if err != nil {
		f.noteEnd(f.path, err)
	}
	return h, f.told(err)
}

// openNow opens the file as the node gives it.
func (f *remoteFile) openNow(ctx context.Context) (h vfs.Handle, err error) {
	err = f.exchange(ctx, func(ctx context.Context, got vfs.Handle) error {
		h, err = f.rewritten(ctx, got)
		return err
	})
	return h, err
}

// exchange opens the file on the node and gives it to use, whose it is, within the
// one exchange.
func (f *remoteFile) exchange(ctx context.Context, use func(context.Context, vfs.Handle) error) error {
	return f.n.call(ctx, f.v.identity(), func(ctx context.Context, root vfs.Dir) error {
		got, ids, err := vfs.OpenPath(ctx, root, f.path...)
		if err != nil {
			return err
		}
		if err := f.check(ids); err != nil {
			got.Close()
			return err
		}
		return use(ctx, got)
	})
}

// Readlink implements vfs.Link.
func (l *remoteLink) Readlink(ctx context.Context) (string, error) {
	if err := l.exists(l.path); err != nil {
		return "", err
	}
	key, ok := l.kept()
	if !ok {
		text, err := l.readlinkNow(ctx)
		return text, l.told(err)
	}
	v, err := l.readKept(ctx, key, func(ctx context.Context) ([]byte, error) {
		text, err := l.readlinkNow(ctx)
		return []byte(text), err
	})
	return string(v.Content), l.told(err)
}

// readlinkNow is the text of the link as the node gives it.
func (l *remoteLink) readlinkNow(ctx context.Context) (string, error) {
	found, _, err := l.walk(ctx)
	if err != nil {
		return "", err
	}
	link, ok := found.(vfs.Link)
	if !ok {
		return "", syscall.EINVAL
	}
	var text string
	err = l.n.call(ctx, l.v.identity(), func(ctx context.Context, _ vfs.Dir) error {
		text, err = link.Readlink(ctx)
		return err
	})
	return text, err
}

// remoteHandle is an open file on a node whose content is not in memory here.
type remoteHandle struct {
	n *node
	vfs.Handle
}

// ReadAt implements vfs.Handle, with the node's read deadline.
func (h *remoteHandle) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, h.n.timeouts().Read)
	defer cancel()
	up := h.n.upstream()
	n, err := h.Handle.ReadAt(ctx, p, off)
	if err != nil && ctx.Err() == context.DeadlineExceeded {
		h.n.probe()
	}
	return n, h.n.unanswered(ctx, up, err)
}
