package remote

import (
	"context"
	"strconv"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/listing"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// What a reader of a mount was listed is shown to them as it was then, see package listing.
//
// A front keeps what it is told for all readers of a mount, and for as long as it is told to. So
// what is not as the node's fresh table has it may not be kept at all (Keep 0): content and
// attributes of a process that has changed or ended since, and a name that stands for another
// process to some reader (listing.Root.Contested). What is the same record in both is kept for
// as long as the fresh table is good. State and Preview are not told for whom they are: a file
// that some reader may be given otherwise has no state (listing.Root.Differs), and a node that
// was walked to as it was listed previews as that.

// formNow is the form in which a viewer may be given a file of a row that was listed, none if
// not at all, by what is known now. Where the process is another user's since, or is hidden now, it is no more than
// both allow.
func formNow(n *proctable.Node, v view.Viewer, path []string, row proctable.Row) proctable.Visibility {
	if !v.Admits(n, func() (uint32, bool) { return row.UID(), true }, path) {
		return proctable.None
	}
	who := v.Identity()
	form, last := n.Visibility(row, who), n.Table()
	if last == nil || last == row.Table {
		return form
	}
	if !n.Reads(who) && proctable.HidesFrom(last.Facts(), who, procfile.HideContent) && who.UID != row.UID() {
		return proctable.None
	}
	if now, ok := last.Lookup(row.PID()); ok && now.ID() == row.ID() && !now.Same(row) {
		if !v.Sees(now.UID()) {
			return proctable.None
		}
		form = min(form, n.Visibility(now, who))
	}
	return form
}

// ListedDir is the directory of the process that who makes the request was listed at that pid,
// where the node's fresh table does not have that process as it was; nil if there is none. It
// makes no exchange.
func ListedDir(ctx context.Context, root *listing.Root, v view.Viewer, h proctable.Host, parent uint64, n *proctable.Node, pid gpid.PID) vfs.Dir {
	e := root.Find(ctx, n, pid)
	if !e.OK() {
		return nil
	}
	if row, keep := n.Lookup(pid, e.ID()); row.OK() && keep > 0 && sameDir(row, e.Row) {
		return nil
	}
	if formNow(n, v, []string{strconv.Itoa(int(pid))}, e.Row) == proctable.None {
		return nil
	}
	n.Renew(pid)
	p := view.Of(n, e.Row)
	p.Map, p.Listed = e.Table.Clock.Map(h), root
	return NewProcessDir(v, parent, p, e.Attr(0)).Fleeting()
}

// sameDir reports whether two rows of a process have the same directory.
func sameDir(a, b proctable.Row) bool { return a.Table.Proc(a.I) == b.Table.Proc(b.I) }

// A fleetingDir is a process directory as who walked to it has it, and perhaps nobody else.
type fleetingDir struct{ *ProcessDir }

// Fleeting is d as its name may not be kept by a front: to other readers, or the next time, it
// may be another directory.
func (d *ProcessDir) Fleeting() vfs.Dir {
	d.attr.Keep, d.attr.KeepName = 0, 0
	return fleetingDir{d}
}

// Preview implements vfs.Previewer.
func (d fleetingDir) Preview() vfs.Attr { return d.object.Preview() }

// A fleetingFile is a file in such a directory that sweeps bring.
type fleetingFile struct{ *tableFile }

// Preview implements vfs.Previewer.
func (f fleetingFile) Preview() vfs.Attr { return f.object.Preview() }

// walkListed finds a name in a process directory that only the listing of who makes the
// request has; nil is that the node must be asked.
func (d *ProcessDir) walkListed(e listing.Entry, name string) (vfs.Node, error) {
	if e.Table.FileIndex(name) >= 0 {
		return fleetingFile{&tableFile{file{d.below(name, name, e.FileAttr(0o444, 0))}}}, nil
	}
	if names := e.Table.Names; names != nil && names.Process[name] == 0 {
		return nil, syscall.ENOENT
	}
	return nil, nil
}

// openListed opens the file as it was listed to who makes the request. It is not ok if they have
// opened it before, or the tables do not say.
func (f *tableFile) openListed(e listing.Entry) (h vfs.Handle, err error, ok bool) {
	k := e.Table.FileIndex(f.path[1])
	if k < 0 || e.Given(k) {
		return nil, nil, false
	}
	now, keep, form := f.row()
	// To a limited viewer a file names those who were listed with it.
	if !now.OK() || now.Table != e.Table && (f.v.Limited() || !now.Same(e.Row)) {
		keep, form = 0, formNow(f.n, f.v, f.path, e.Row)
	}
	c, err := f.rowContent(e.Row, e.Among(), form, f.path[1])
	if err == proctable.ErrAsk || !e.Take(k) {
		return nil, nil, false
	}
	if err != nil {
		return nil, err, true
	}
	return vfs.NewBytes(c, keep), nil, true
}
