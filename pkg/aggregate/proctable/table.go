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

	session *upstream.Session // that it came by
	asked   time.Time         // when the node was asked for it
	moment  time.Time         // the sweep began then, or later
	took    time.Duration     // to get it
	expires time.Time         // from then on it is shown only while the node does not answer
	gone    sync.Map          // of the processes that have ended, by leaf number
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

// Table is the table that the last sweep brought, perhaps out of date; nil is none.
func (n *Node) Table() *Table { return n.table.Load() }

// Known is the last table if it came by the node's last session; nil is that nothing is known
// yet of the node as it is.
func (n *Node) Known() *Table {
	if t := n.table.Load(); t != nil && t.session == n.Session() {
		return t
	}
	return nil
}

// Clock is that of the node's boot; nil is that it is not known yet, on this session.
func (n *Node) Clock() *Clock {
	if t := n.Known(); t != nil {
		return t.Clock
	}
	return nil
}

// ProcessNames are the names that a process directory of the node has; nil is that they are
// not known.
func (n *Node) ProcessNames() *Names {
	if t := n.Known(); t != nil {
		return t.Names
	}
	return nil
}

// Lookup finds a process in the table that readers are served from (see Current), and only if
// it is the very process that leaf names. keep is how much longer the row is good.
func (n *Node) Lookup(pid gpid.PID, leaf uint64) (r Row, keep time.Duration) {
	t, keep := n.Current()
	if t == nil {
		return Row{}, 0
	}
	r, ok := t.Lookup(pid)
	if !ok || r.ID() != leaf {
		return Row{}, 0
	}
	if _, ended := t.gone.Load(leaf); ended {
		return Row{}, 0
	}
	return r, keep
}

// Ended notes that a process has ended.
func (n *Node) Ended(pid gpid.PID, leaf uint64) {
	if r, _ := n.Lookup(pid, leaf); r.OK() {
		r.Table.gone.Store(leaf, true)
	}
	if k := n.Clock(); k != nil && n.Store != nil {
		n.Store.DropProcess(n.CacheKey(k, pid, leaf))
	}
}

// lateReads is how many different processes are read at the end of a table's time
// before it is fetched anew: whoever reads on, process after process, is in the
// middle of a sweep that takes longer than the table's time.
const lateReads = 8

// Renew sees to it that there is a fresh table where one pays, and in time: the last
// one is fresh for as long as the next is likely to take. It is called before a process
// of the node is read, by those for whom the tables are.
func (n *Node) Renew(pid gpid.PID) {
	t := n.table.Load()
	if t == nil || t.Left(n.Now()) > t.took {
		return
	}
	if n.latePID.Swap(int32(pid)) != int32(pid) && n.late.Add(1) > lateReads {
		n.Sweep() // if it comes too late processes are read by themselves
	}
}

// dropEnded drops what is cached of the processes of one table that a newer one has no more.
func (n *Node) dropEnded(before, after *Table) {
	if n.Store == nil || before == nil {
		return
	}
	at, follows := 0, before.session == after.session && after.Since(before.Generation())
	for i, pid := range before.PIDs() {
		for at < after.Len() && after.PID(at) < pid {
			at++
		}
		there := at < after.Len() && after.PID(at) == pid
		if there && follows && !after.Changed(at, before.Generation()) {
			continue
		}
		if id := before.ID(i); !there || after.ID(at) != id {
			n.Store.DropProcess(n.CacheKey(after.Clock, gpid.PID(pid), id))
		}
	}
}
