package remote

import (
	"context"
	"hash/crc64"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/listing"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// ProcessDir is a process's directory.
type ProcessDir struct {
	dir
	ctl Ctl
}

// ctlName is the file by which a process is acted on.
const ctlName = "ctl"

// A Ctl makes the file by which a process is acted on, with that number; nil is that there is none
// for the viewer now.
type Ctl func(p *view.Process, id uint64) vfs.Node

// WithCtl is a process directory of this package with such a file in it.
func WithCtl(d vfs.Dir, ctl Ctl) vfs.Dir {
	switch d := d.(type) {
	case *ProcessDir:
		d.ctl = ctl
	case fleetingDir:
		d.ctl = ctl
	}
	return d
}

// control is the file by which the process is acted on, nil if there is none.
func (d *ProcessDir) control() vfs.Node {
	if d.ctl == nil || d.v.Denies(d.path[0], ctlName) {
		return nil
	}
	return d.ctl(d.proc, objectid.Child(d.id, ctlName))
}

// List implements vfs.Dir.
func (d *ProcessDir) List(context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(func(ctx context.Context) ([]vfs.DirEntry, error) {
		all, err := d.entries(ctx)
		if err != nil || d.control() == nil {
			return all, err
		}
		// It comes last: how far the node's offsets go only the node knows.
		e := vfs.DirEntry{Name: ctlName, ID: objectid.Child(d.id, ctlName), Type: vfs.TypeFile, Next: 1}
		if len(all) > 0 {
			e.Next = all[len(all)-1].Next + 1
		}
		return append(all, e), nil
	}), nil
}

// NewProcessDir makes the directory of a process below parent.
func NewProcessDir(v view.Viewer, parent uint64, p *view.Process, attr vfs.Attr) *ProcessDir {
	d := &ProcessDir{dir: dir{object{
		n: p.Node, v: v, proc: p,
		path: []string{strconv.Itoa(int(p.PID))},
		leaf: p.Leaf, id: objectid.Process(parent, p.Node.Index, p.Leaf), attr: attr,
	}}}
	d.attr.ID = d.id
	return d
}

// row is the row of the process that r is in, and in which form its viewer may have it. There
// is none where no table that readers are served from has the process, or where it does not
// exist for the viewer any more. keep is how much longer it is good.
func (r *object) row() (row proctable.Row, keep time.Duration, v proctable.Visibility) {
	if r.proc == nil {
		return row, 0, proctable.None
	}
	if row, keep = r.n.Lookup(r.proc.PID, r.proc.Leaf); !row.OK() {
		return row, 0, proctable.None
	}
	owner := func() (uint32, bool) { return row.UID(), true }
	if !r.v.Admits(r.n, owner, r.path) {
		return proctable.Row{}, 0, proctable.None
	}
	if v = r.n.Visibility(row, r.v.Identity()); v == proctable.None {
		return proctable.Row{}, 0, v
	}
	return row, keep, v
}

// listed is the entry of r's process in the listing of who makes the request; formNow says in
// which form they may have its files. ESTALE is that they were listed another process at that
// pid: who comes by a path then walks it anew.
func (r *object) listed(ctx context.Context) (e listing.Entry, err error) {
	if r.proc == nil || r.proc.Listed == nil {
		return e, nil
	}
	e = r.proc.Listed.Find(ctx, r.n, r.proc.PID)
	if !e.OK() || e.ID() == r.proc.Leaf {
		return e, nil
	}
	if formNow(r.n, r.v, r.path, e.Row) != proctable.None {
		err = syscall.ESTALE
	}
	return listing.Entry{}, err
}

// Attr implements vfs.Node: from the table while it is fresh, or as it was listed.
func (d *ProcessDir) Attr(ctx context.Context) (a vfs.Attr, err error) {
	d.n.Renew(d.proc.PID)
	row, keep, _ := d.row()
	e, err := d.listed(ctx)
	switch {
	case err != nil:
		return a, err
	case e.OK() && !(row.OK() && sameDir(row, e.Row)) && formNow(d.n, d.v, d.path, e.Row) != proctable.None:
		a = e.Attr(0)
	case row.OK() && !d.n.Live():
		a = row.Attr(keep)
	default:
		return d.dir.Attr(ctx)
	}
	a.ID = d.id
	return a, nil
}

// Preview implements vfs.Previewer: a process directory's attributes are at hand
// or must be asked for.
func (d *ProcessDir) Preview() vfs.Attr {
	if row, keep, _ := d.row(); row.OK() {
		a := row.Attr(keep)
		a.ID = d.id
		return a
	}
	return d.object.Preview()
}

// Walk implements vfs.Dir. The files that sweeps bring are served from the
// table, in the form that the viewer may have.
func (d *ProcessDir) Walk(ctx context.Context, name string) (vfs.Node, error) {
	if d.v.Denies(d.path[0], name) {
		return nil, syscall.ENOENT
	}
	if name == ctlName {
		if n := d.control(); n != nil {
			return n, nil
		}
	}
	d.n.Renew(d.proc.PID)
	e, err := d.listed(ctx)
	if err != nil {
		return nil, err
	}
	if row, keep, _ := d.row(); row.OK() {
		if row.Table.FileIndex(name) >= 0 {
			return &tableFile{file{d.below(name, name, vfs.Attr{Mode: uint32(vfs.TypeFile) | 0o444, Nlink: 1})}}, nil
		}
		// A name that no process of the node has need not be asked for.
		if names := d.n.ProcessNames(); names != nil && names.Process[name] == 0 {
			return nil, vfs.Missing{Keep: keep}
		}
	} else if e.OK() && formNow(d.n, d.v, d.path, e.Row) != proctable.None {
		if n, err := d.walkListed(e, name); n != nil || err != nil {
			return n, err
		}
	}
	return d.dir.Walk(ctx, name)
}

// Content is a file of the process: from a row, or where that does not say, from the node.
func (d *ProcessDir) Content(ctx context.Context, row proctable.Row, name string) ([]byte, error) {
	raw, err := d.RowContent(row, d.n.Visibility(row, d.v.Identity()), name)
	if err == proctable.ErrAsk {
		return vfs.ReadFile(ctx, d, MaxContent, name)
	}
	return raw, err
}

// known returns the entry of that name without asking the node, nil where it
// cannot. Only for whom the tables have the process get such answers: what
// others see is the kernel's to say.
func (d *dir) known(name, native string) vfs.Node {
	names := d.n.ProcessNames()
	path := append(slices.Clip(d.path), native)
	if d.proc == nil || names == nil || d.v.Denies(path...) || view.OfNetwork(path) {
		return nil
	}
	row, keep, _ := d.row()
	if !row.OK() {
		return nil
	}
	var mode uint32
	switch {
	case len(d.path) == 1:
		mode = names.Process[native]
	case len(d.path) == 3 && d.path[1] == "task":
		mode = names.Thread[native]
	case d.inNamespaces() && row.Table.Clock.HasNamespace(native):
		mode = uint32(vfs.TypeLink) | 0o777
	}
	if mode == 0 {
		return nil
	}
	r := d.below(name, native, vfs.Attr{Mode: mode, Nlink: 1, KeepName: keep})
	if len(d.path) == 1 && procfile.Process.File(native).ReadOnce {
		return &knownFile{file{r}}
	}
	if r.isTask() && r.attr.Type() == vfs.TypeDir {
		return &taskDir{dir{r}}
	}
	if len(r.path) == 4 && r.attr.Type() == vfs.TypeFile {
		return &threadFile{file{r}}
	}
	n, err := r.node()
	if err != nil {
		return nil
	}
	return n
}

// knownFile is a file of a process that is read on demand, but whose attributes
// need not be asked for, so that a front may pass what is known of it to the kernel: the permissions are those of all files of its name,
// and the owner is in the table.
type knownFile struct{ file }

// Attr implements vfs.Node.
func (f *knownFile) Attr(ctx context.Context) (vfs.Attr, error) {
	if a := f.Preview(); a.Keep > 0 {
		return a, nil
	}
	return f.file.Attr(ctx)
}

// Preview implements vfs.Previewer.
func (f *knownFile) Preview() vfs.Attr {
	row, keep, _ := f.row()
	if !row.OK() {
		return f.file.Preview()
	}
	a := row.FileAttr(f.attr.Mode, keep)
	a.ID = f.id
	return a
}

// tableFile is a file of a process that sweeps bring. It has no bytes and no
// table: a front may keep it for as long as the process lives, and longer.
type tableFile struct{ file }

// content returns the file as the table has it, and its attributes with the exact size. It is
// not ok where no table that readers are served from has it, or the node itself is asked (Live).
func (f *tableFile) content() (content []byte, a vfs.Attr, ok bool, err error) {
	row, keep, v := f.row()
	if !row.OK() || f.n.Live() {
		return nil, a, false, nil
	}
	if content, err = f.RowContent(row, v, f.path[1]); err == proctable.ErrAsk {
		return nil, a, false, nil
	}
	a = row.FileAttr(0o444, keep)
	a.ID, a.Size = f.id, uint64(len(content))
	return content, a, true, err
}

// Attr implements vfs.Node.
func (f *tableFile) Attr(ctx context.Context) (vfs.Attr, error) {
	f.n.Renew(f.proc.PID)
	e, err := f.listed(ctx)
	if err != nil {
		return vfs.Attr{}, err
	}
	if _, a, ok, _ := f.content(); ok {
		return a, nil
	}
	if e.OK() {
		form := formNow(f.n, f.v, f.path, e.Row)
		if c, err := f.rowContent(e.Row, e.Among(), form, f.path[1]); err == nil {
			a := e.FileAttr(0o444, 0)
			a.ID, a.Size = f.id, uint64(len(c))
			return a, nil
		}
	}
	return f.file.Attr(ctx)
}

// Preview implements vfs.Previewer: it is Attr where that costs nothing.
func (f *tableFile) Preview() vfs.Attr {
	f.n.Renew(f.proc.PID)
	if _, a, ok, _ := f.content(); ok {
		return a
	}
	return f.file.Preview()
}

// State implements vfs.Stater: what a difference between two sweeps does not name is
// what it was. One that a reader may be given as it was listed to them has none.
func (f *tableFile) State() (state uint64, ok bool) {
	row, _, v := f.row()
	if !row.OK() || row.Table.ChangedIn(row.I) == 0 || f.proc.Listed.Differs(f.n, row, f.path[1]) {
		return 0, false
	}
	state = objectid.Mix(objectid.Mix(objectid.Offset, row.Table.ChangedIn(row.I)), uint64(v))
	if f.v.Limited() { // whom it names may come to be hidden
		c, err := f.RowContent(row, v, f.path[1])
		if err != nil {
			return 0, false
		}
		state = objectid.Mix(state, crc64.Checksum(c, crc64.MakeTable(crc64.ECMA)))
	}
	return objectid.Finish(objectid.Mix(state, uint64(row.Table.Clock.BootTime().UnixNano()))), true
}

// Open implements vfs.File.
func (f *tableFile) Open(ctx context.Context) (vfs.Handle, error) {
	f.n.Renew(f.proc.PID)
	e, err := f.listed(ctx)
	if err != nil {
		return nil, err
	}
	if e.OK() {
		if h, err, ok := f.openListed(e); ok {
			return h, err
		}
	}
	c, a, ok, err := f.content()
	switch {
	case !ok:
		return f.openRemote(ctx)
	case err != nil:
		return nil, err
	}
	keep := a.KeepName // Keep is 0 where the owner is not known, which the bytes are not of
	return vfs.NewBytes(c, keep), nil
}

// openRemote opens the file on the node, where no fresh table has it. One that is not
// answered within a sweep's time has its last value, where that may be shown.
func (f *tableFile) openRemote(ctx context.Context) (vfs.Handle, error) {
	t, now := f.n.Table(), f.n.Now()
	if !f.n.Showable(t, now) {
		return f.file.Open(ctx)
	}
	within, cancel := context.WithTimeout(ctx, f.n.Limits().SweepWait())
	defer cancel()
	h, err := f.file.Open(within)
	if err == nil || ctx.Err() != nil || !cachepolicy.Unanswered(err) {
		return h, err
	}
	row, ok := t.Lookup(f.proc.PID)
	owner := func() (uint32, bool) { return row.UID(), true }
	if !ok || row.ID() != f.proc.Leaf || !f.v.Admits(f.n, owner, f.path) {
		return nil, err
	}
	c, lastErr := f.RowContent(row, f.n.Visibility(row, f.v.Identity()), f.path[1])
	if lastErr != nil {
		return nil, err
	}
	f.n.Stale(now)
	return vfs.NewBytes(c, 0), nil
}
