package remote

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// object is something on a node, read there at each use. It
// is known by a path, not by a handle, so that it survives the connection. Where
// the path leads through a process, that it still is the same one is checked on
// every exchange by the numbers that the node gives for the elements on the way.
type object struct {
	n    *proctable.Node
	v    view.Viewer
	proc *view.Process // the process directory it is in; nil outside of one
	path []string      // from the root of the node's tree, native names
	leaf uint64        // the node's number for the object; 0 where the path alone says which it is
	id   uint64        // the number in the merged tree
	attr vfs.Attr      // as of the walk, or a guess; see Preview
}

// dir, file and link are what an object is to the vfs.
type (
	dir  struct{ object }
	file struct{ object }
	link struct{ object }
)

// node returns r as what its type says it is.
func (r object) node() (vfs.Node, error) {
	switch r.attr.Type() {
	case vfs.TypeDir:
		return &dir{r}, nil
	case vfs.TypeFile:
		return &file{r}, nil
	case vfs.TypeLink:
		return &link{r}, nil
	}
	return nil, fmt.Errorf("node %s: %v has mode %o, which no procfs has: %w", r.n.Name, r.path, r.attr.Mode, syscall.EIO)
}

// below is the object at name, native on the node, in r.
func (r *object) below(name, native string, attr vfs.Attr) object {
	return object{
		n: r.n, v: r.v, proc: r.proc,
		path: append(slices.Clip(r.path), native), id: objectid.Child(r.id, name), attr: attr,
	}
}

// ID implements vfs.Node.
func (r *object) ID() uint64 { return r.id }

// Type implements vfs.Node.
func (r *object) Type() vfs.Type { return r.attr.Type() }

// Preview implements vfs.Previewer: the attributes as they were when the name
// was walked, or what every file of that name has.
func (r *object) Preview() vfs.Attr {
	a := r.attr
	a.ID = r.id
	return a
}

// exists reports whether what is at that path of the node exists for r's viewer,
// now: ENOENT if it does not. ESTALE is as in listed.
func (r *object) exists(ctx context.Context, path []string) error {
	if !r.v.Admits(r.n, r.proc.Owner, path) {
		return syscall.ENOENT
	}
	_, err := r.listed(ctx)
	return err
}

// check compares the numbers seen on the way to the object, or to something
// below it, with those that it is bound to.
func (r *object) check(ids []uint64) error {
	if r.proc != nil && (len(ids) == 0 || ids[0] != r.proc.Leaf) {
		return syscall.ESRCH
	}
	if n := len(r.path); r.leaf != 0 && n > 0 && (len(ids) < n || ids[n-1] != r.leaf) {
		return syscall.ESTALE
	}
	return nil
}

// walk walks to names below r and returns what is there.
func (r *object) walk(ctx context.Context, names ...string) (found vfs.Node, ids []uint64, err error) {
	path := slices.Concat(r.path, names)
	if err := r.exists(ctx, path); err != nil {
		return nil, nil, err
	}
	err = r.n.Call(ctx, r.v.Identity(), func(ctx context.Context, root vfs.Dir) error {
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

// noteEnd notes that r's process has ended, if that is what an error of the node
// means for something on the way to path. Only whom the tables are for are told
// the truth about who exists.
func (r *object) noteEnd(path []string, err error) {
	if r.proc == nil || !r.v.Identity().Equal(r.n.Reader) {
		return
	}
	switch vfs.Errno(err) {
	case syscall.ESRCH:
	case syscall.ENOENT:
		// A name that every process has is missing with its process only.
		names := r.n.ProcessNames()
		if names == nil || len(path) > 2 || len(path) == 2 && names.Process[path[1]] == 0 {
			return
		}
	default:
		return
	}
	r.n.Ended(r.proc.PID, r.proc.Leaf)
}

// told is the error of a request on r as its requester gets it.
func (r *object) told(err error) error {
	if r.proc == nil || r.proc.Map == nil { // of the node as it is, not of the merged tree
		return r.n.Short(err)
	}
	return r.n.Told(err)
}

// Attr implements vfs.Node.
func (r *object) Attr(ctx context.Context) (vfs.Attr, error) {
	found, _, err := r.walk(ctx)
	if err != nil {
		return vfs.Attr{}, r.told(err)
	}
	a, err := r.n.AttrOf(ctx, r.v.Identity(), found)
	a.ID = r.id
	return a, r.told(err)
}

// child walks to the entry that is name in the merged tree and native on the
// node.
func (r *object) child(ctx context.Context, name, native string) (vfs.Node, error) {
	found, ids, err := r.walk(ctx, native)
	if err != nil {
		return nil, r.told(err)
	}
	a, err := r.n.AttrOf(ctx, r.v.Identity(), found)
	if err != nil {
		return nil, r.told(err)
	}
	sub := r.below(name, native, a)
	if r.leaf != 0 || view.NamesProcess(native) {
		sub.leaf = ids[len(ids)-1]
	}
	return sub.node()
}

// inTask reports whether r is the task directory of a process whose files are
// rewritten: its names are thread ids.
func (r *object) inTask() bool {
	return r.proc != nil && r.proc.Map != nil && len(r.path) == 2 && r.path[1] == "task"
}

// isTask reports whether r is the directory of a process's threads.
func (r *object) isTask() bool {
	return r.proc != nil && len(r.path) == 2 && r.path[1] == proctable.TaskDir
}

// Walk implements vfs.Dir.
func (d *dir) Walk(ctx context.Context, name string) (vfs.Node, error) {
	native, ok := d.nativeName(name)
	if !ok {
		return nil, syscall.ENOENT
	}
	if n := d.known(name, native); n != nil {
		return n, nil
	}
	if isAbroad(&d.object) && d.holdsMarks() {
		if n, err := d.walkMark(ctx, name); n != nil || err != nil {
			return n, err
		}
	}
	if err := noThreadName(d, native); err != nil {
		return nil, err
	}
	if d.isTask() {
		if n, err := threadIn(ctx, d, name, native); n != nil || err != nil {
			return n, err
		}
	}
	if !d.inNamespaces() {
		return d.child(ctx, name, native)
	}
	if strings.Contains(name, ":[") {
		return nil, syscall.ENOENT // the text of such a link, which is followed by name
	}
	found, err := d.child(ctx, name, native)
	if k := d.n.Clock(); err == nil && k != nil && found.Type() == vfs.TypeLink {
		k.NoteNamespace(native)
	}
	return found, err
}

// inNamespaces reports whether d is the directory of a process's namespaces.
func (d *dir) inNamespaces() bool { return d.proc != nil && len(d.path) == 2 && d.path[1] == "ns" }

// nativeName is what name, as the merged tree has it, is called on the node.
func (d *dir) nativeName(name string) (string, bool) {
	if !d.inTask() {
		return name, true
	}
	g, ok := gpid.Parse(name)
	if !ok {
		return "", false
	}
	_, tid, ok := d.n.Numbers.Split(gpid.Home(g))
	return strconv.Itoa(int(tid)), ok && d.proc.Map.PID(int64(tid)) == int64(g)
}

// List implements vfs.Dir.
func (d *dir) List(ctx context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(d.entries), nil
}

// entries are what is in the directory, as the tree has it.
func (d *dir) entries(ctx context.Context) ([]vfs.DirEntry, error) {
	all, err := d.list(ctx)
	if err != nil {
		return nil, d.told(err)
	}
	return d.mergedNames(all), nil
}

// list reads the whole directory on the node, native names.
func (d *dir) list(ctx context.Context) (all []vfs.DirEntry, err error) {
	if d.isTask() {
		if threads, ok, err := readThreads(ctx, &d.object); ok || err != nil {
			return threadEntries(threads), err
		}
	}
	found, _, err := d.walk(ctx)
	if err != nil {
		return nil, err
	}
	dir, ok := found.(vfs.Dir)
	if !ok {
		return nil, syscall.ENOTDIR
	}
	most := proctable.MaxEntries
	if len(d.path) == 0 {
		most = d.n.MaxEntries()
	}
	err = d.n.Call(ctx, d.v.Identity(), func(ctx context.Context, _ vfs.Dir) error {
		all, err = d.n.ReadDir(ctx, dir, most)
		return err
	})
	return all, err
}

// mergedNames turns a listing with native names into one of the merged tree.
func (d *dir) mergedNames(all []vfs.DirEntry) []vfs.DirEntry {
	out := make([]vfs.DirEntry, 0, len(all))
	for _, e := range all {
		path := append(slices.Clip(d.path), e.Name)
		if !vfs.ValidName(e.Name) || d.v.Denies(path...) || d.v.Limited() && (d.proc != nil && view.OfNetwork(path) || view.CountsOthers(path)) {
			continue
		}
		if d.inTask() {
			g := int64(0)
			if n, ok := gpid.Parse(e.Name); ok {
				g = d.proc.Map.PID(int64(n))
			}
			if g == 0 {
				continue
			}
			e.Name = gpid.GPID(g).String()
		}
		e.ID = objectid.Child(d.id, e.Name)
		out = append(out, e)
	}
	return out
}

// Open implements vfs.File.
func (f *file) Open(ctx context.Context) (vfs.Handle, error) {
	if err := f.exists(ctx, f.path); err != nil {
		return nil, err
	}
	var h vfs.Handle
	var err error
	if key, ok := f.cacheKey(f.n.Clock()); ok {
		if f.refused() {
			return nil, syscall.EACCES
		}
		h, err = f.openCached(ctx, key)
	} else {
		if f.n.Live() {
			_, _, _ = f.readAhead(ctx) // it brings nothing, and knows who reads on from there
		}
		h, err = f.openNow(ctx)
	}
	if err != nil {
		f.noteEnd(f.path, err)
	}
	return h, f.told(err)
}

// refused reports whether the attributes that the fresh table has of the file say that its viewer
// may not open it. So ps of a user asks for environ of their own processes only.
func (f *file) refused() bool {
	if len(f.path) != 2 {
		return false
	}
	row, keep, v := f.row()
	return keep > 0 && v == proctable.Masked && f.n.Refuses(row, f.v.Identity(), f.path[1])
}

// openNow opens the file as the node gives it.
func (f *file) openNow(ctx context.Context) (h vfs.Handle, err error) {
	err = f.exchange(ctx, func(ctx context.Context, got vfs.Handle) error {
		h, err = f.rewritten(ctx, got)
		return err
	})
	return h, err
}

// exchange opens the file on the node and gives it to use, whose it is, within the
// one exchange.
func (f *file) exchange(ctx context.Context, use func(context.Context, vfs.Handle) error) error {
	return f.n.Call(ctx, f.v.Identity(), func(ctx context.Context, root vfs.Dir) error {
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
func (l *link) Readlink(ctx context.Context) (string, error) {
	if err := l.exists(ctx, l.path); err != nil {
		return "", err
	}
	key, ok := l.cacheKey(l.n.Clock())
	if !ok {
		text, err := l.readlinkNow(ctx)
		return inMerged(&l.object, text), l.told(err)
	}
	v, err := l.readCached(ctx, key, func(ctx context.Context) ([]byte, error) {
		text, err := l.readlinkNow(ctx)
		return []byte(text), err
	})
	return inMerged(&l.object, string(v.Content)), l.told(err)
}

// readlinkNow is the text of the link as the node gives it.
func (l *link) readlinkNow(ctx context.Context) (string, error) {
	found, _, err := l.walk(ctx)
	if err != nil {
		return "", err
	}
	link, ok := found.(vfs.Link)
	if !ok {
		return "", syscall.EINVAL
	}
	var text string
	err = l.n.Call(ctx, l.v.Identity(), func(ctx context.Context, _ vfs.Dir) error {
		text, err = link.Readlink(ctx)
		return err
	})
	return text, err
}

// handle is an open file on a node whose content is not in memory here.
type handle struct {
	n *proctable.Node
	s *upstream.Session
	vfs.Handle
}

// ReadAt implements vfs.Handle, with the node's read deadline.
func (h *handle) ReadAt(ctx context.Context, p []byte, off int64) (n int, err error) {
	err = h.n.Continue(ctx, h.s, func(ctx context.Context) error {
		n, err = h.Handle.ReadAt(ctx, p, off)
		return err
	})
	return n, err
}
