package proctable

import (
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Table is the processes of one node as one snapshot brought them. It never
// changes; a newer one takes its place as a whole. Only that a process has ended
// since is noted.
type Table struct {
	*snapshot.Table
	Clock *Clock // of the node's boot
	Names *Names // that a process directory of the node has; nil is not known

	session   *upstream.Session // that it came by
	requested time.Time         // when the node was asked for it
	moment    time.Time         // the sweep began then, or later
	took      time.Duration     // to get it
	expires   time.Time         // from then on it is shown only while the node does not answer
	gone      sync.Map          // of the processes that have ended, by leaf number
}

// Left is how much longer the table is fresh; 0 if it is not. One whose session has ended is
// not: it can still be shown as stale, but the next session may lead to another leaf, or
// another boot of the machine.
func (t *Table) Left(now time.Time) time.Duration {
	if t == nil || !t.session.Live() {
		return 0
	}
	return max(0, t.expires.Sub(now))
}

// Moment is when the sweep began that the table is of, or before.
func (t *Table) Moment() time.Time { return t.moment }

// Session is the session that the table came by.
func (t *Table) Session() *upstream.Session { return t.session }

// Live reports whether the node's connection still is the one that the table came by.
func (t *Table) Live() bool { return t != nil && t.session.Live() }

// FileIndex is where the file of that name in a process directory stands in the
// table, or -1.
func (t *Table) FileIndex(name string) int { return slices.Index(t.Files(), name) }

// Row is row i of the table.
func (t *Table) Row(i int) Row { return Row{t, i} }

// Lookup finds the row of a process, by pid.
func (t *Table) Lookup(pid gpid.PID) (Row, bool) {
	i, ok := t.Find(int32(pid))
	return Row{t, i}, ok
}

// Only is some rows of the table, by rising index, in memory of their own.
func (t *Table) Only(rows []int) *Table {
	return &Table{
		Table: t.Table.Only(rows), Clock: t.Clock, Names: t.Names,
		session: t.session, requested: t.requested, moment: t.moment, took: t.took, expires: t.expires,
	}
}

// A Row is one process in a table. The zero Row is none.
type Row struct {
	Table *Table
	I     int
}

// OK reports whether there is a row.
func (r Row) OK() bool { return r.Table != nil }

// UID is the owner.
func (r Row) UID() uint32 { return r.Table.UID(r.I) }

// PID is the native pid.
func (r Row) PID() gpid.PID { return gpid.PID(r.Table.PID(r.I)) }

// ID is the leaf's number for the process directory, which differs from process to process.
func (r Row) ID() uint64 { return r.Table.ID(r.I) }

// Same reports whether two rows of one node are the same record, and so of the same process.
func (r Row) Same(o Row) bool {
	changed := r.Table.ChangedIn(r.I)
	return r == o || changed != 0 && changed == o.Table.ChangedIn(o.I) && r.ID() == o.ID()
}

// ErrAsk is the error of a file that a table does not have for somebody: the node must be
// asked. In a snapshot that a front end makes for another it stands in place of the content.
const ErrAsk = syscall.EAGAIN

// File is a file of the process, as the node gave it, in the form that such visibility allows;
// ErrAsk is that the table does not have it so.
func (r Row) File(v Visibility, name string) ([]byte, error) {
	k := r.Table.FileIndex(name)
	if k < 0 || v == None {
		return nil, ErrAsk
	}
	raw, errno := r.Table.File(r.I, k)
	switch {
	case errno == syscall.EFBIG: // longer than what a sweep brings
		return nil, ErrAsk
	case errno != 0:
		return nil, errno
	case v == Masked:
		if masked, ok := procfile.Mask(name, raw); ok {
			return masked, nil
		}
		return nil, ErrAsk
	}
	return raw, nil
}

// Attr is what the table knows of the process directory. keep is how long it is good.
func (r Row) Attr(keep time.Duration) vfs.Attr {
	p := r.Table.Proc(r.I)
	at := time.Unix(0, p.Mtime)
	return vfs.Attr{
		Mode: uint32(vfs.TypeDir) | p.Mode&0o7777, UID: p.UID, GID: p.GID, Nlink: p.Nlink,
		Atime: at, Mtime: at, Ctime: at, Keep: keep,
	}
}

// FileAttr is what the table knows of a regular file in the directory, whose permissions are
// those of all files of its name. Where the owner is not known nothing may be cached.
func (r Row) FileAttr(mode uint32, keep time.Duration) vfs.Attr {
	p := r.Table.Proc(r.I)
	at := time.Unix(0, p.Mtime)
	a := vfs.Attr{
		Mode: uint32(vfs.TypeFile) | mode&0o7777, UID: p.FileUID, GID: p.FileGID, Nlink: 1,
		Atime: at, Mtime: at, Ctime: at, Keep: keep, KeepName: keep,
	}
	if p.FileUID == vfs.NoID {
		a.UID, a.GID, a.Keep = p.UID, p.GID, 0
	}
	return a
}

// Visibility is in which form a table's files of a process may be given to a requester.
type Visibility uint8

// The visibilities.
const (
	None   Visibility = iota // not at all: the node's kernel must say
	Masked                   // as the kernel shows it to any other user
	Full                     // as the front end's reader reads it
)

// HidesFrom reports whether the node's procfs hides that much of processes from who.
func HidesFrom(f snapshot.Facts, who vfs.Identity, what int) bool {
	return procfile.Options{HidePID: f.HidePID, GID: f.PIDGID}.Hide(&who, what)
}
