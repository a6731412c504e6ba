package aggregate

import (
	"context"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/rewrite"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A process is one process of a node, as the object that leaf numbers; whoever
// has the pid later is another.
type process struct {
	n    *node
	pid  gpid.PID
	leaf uint64
	uid  uint32 // whose it was when it was found
	// m rewrites its files; nil in trees that show the node as it is.
	m *rewrite.Map
}

func newProcess(n *node, pid gpid.PID, leaf uint64, uid uint32) *process {
	return &process{n: n, pid: pid, leaf: leaf, uid: uid}
}

// owner is whose the process is, as far as is known: a process can change it.
func (p *process) owner() uint32 {
	if t, i, _ := p.n.row(p.pid, p.leaf); t != nil {
		return t.Proc(i).UID
	}
	return p.uid
}

// ownerOrNobody is the owner, or not ok where there is no process.
func (p *process) ownerOrNobody() (uid uint32, ok bool) {
	if p == nil {
		return 0, false
	}
	return p.owner(), true
}

// processDir is a process's directory.
type processDir struct{ remoteDir }

// newProcessDir makes the directory of a process below parent.
func newProcessDir(v viewer, parent uint64, p *process, attr vfs.Attr) *processDir {
	d := &processDir{remoteDir{remote{
		n: p.n, v: v, proc: p,
		path: []string{strconv.Itoa(int(p.pid))},
		leaf: p.leaf, id: processID(parent, p.n.index, p.leaf), attr: attr,
	}}}
	d.attr.ID = d.id
	return d
}

// Attr implements vfs.Node: from the table while it is good.
func (d *processDir) Attr(ctx context.Context) (vfs.Attr, error) {
	d.renew()
	if t, i, keep, _ := d.held(); t != nil {
		a := rowAttr(t, i, keep)
		a.ID = d.id
		return a, nil
	}
	return d.remoteDir.Attr(ctx)
}

// Preview hides that of remote: a process directory's attributes are at hand
// or must be asked for.
func (d *processDir) Preview() vfs.Attr {
	if t, i, keep, _ := d.held(); t != nil {
		a := rowAttr(t, i, keep)
		a.ID = d.id
		return a
	}
	return d.remote.Preview()
}

// renew is node.renew for r's process.
func (r *remote) renew() { r.n.renew(r.proc.pid) }

// rowAttr is what a table knows of a process directory.
func rowAttr(t *table, i int, keep time.Duration) vfs.Attr {
	p := t.Proc(i)
	at := time.Unix(0, p.Mtime)
	return vfs.Attr{
		Mode: uint32(vfs.TypeDir) | p.Mode&0o7777, UID: p.UID, GID: p.GID, Nlink: p.Nlink,
		Atime: at, Mtime: at, Ctime: at, Keep: keep,
	}
}

// rowFileAttr is what a table knows of a regular file in the directory, whose
// permissions are those of all files of its name. Where the owner is not known
// nothing is kept.
func rowFileAttr(t *table, i int, mode uint32, keep time.Duration) vfs.Attr {
	p := t.Proc(i)
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

// Walk implements vfs.Dir. The files that sweeps bring are served from the
// table, in the form that the viewer may have.
func (d *processDir) Walk(ctx context.Context, name string) (vfs.Node, error) {
	if d.v.denies(d.path[0], name) {
		return nil, syscall.ENOENT
	}
	d.renew()
	if f := d.tableFile(name); f != nil {
		return f, nil
	}
	if keep, ok := d.missing(name); ok {
		return nil, vfs.Missing{Keep: keep}
	}
	return d.remoteDir.Walk(ctx, name)
}

// tableFile returns the file of that name if sweeps bring it, or nil where they do
// not or the table is no longer good.
func (d *processDir) tableFile(name string) vfs.Node {
	if t, _, _, _ := d.held(); t == nil || t.fileIndex(name) < 0 {
		return nil
	}
	f := &tableFile{}
	f.remote = remote{
		n: d.n, v: d.v, proc: d.proc,
		path: append(slices.Clip(d.path), name), id: childID(d.id, name),
		attr: vfs.Attr{Mode: uint32(vfs.TypeFile) | 0o444, Nlink: 1},
	}
	return f
}

// maxRewrite is the largest file that is rewritten, in bytes. The largest of a
// kernel's, children of a process with as many children as there can be pids,
// is 32 MiB.
const maxRewrite = 32 << 20

// rewritten returns the open file with its content rewritten, where it is to
// be. It closes h unless it returns it.
func (r *remote) rewritten(ctx context.Context, h vfs.Handle) (vfs.Handle, error) {
	if r.proc == nil && len(r.path) == 1 && r.n.miscounts(r.v, r.path[0]) {
		return r.limited(ctx, h)
	}
	if r.proc == nil || !r.rewrites(r.path[1:]) {
		if _, held := h.(vfs.Held); held {
			return h, nil
		}
		return &remoteHandle{n: r.n, Handle: h}, nil
	}
	defer h.Close()
	var raw []byte
	if held, ok := h.(vfs.Held); ok && len(held.Content()) <= maxRewrite {
		raw = held.Content() // for as long as h is open
	} else {
		var err error
		if raw, err = vfs.ReadAll(ctx, h, maxRewrite); err != nil {
			return nil, err
		}
		defer clear(raw)
	}
	out, err := r.rewriteRead(ctx, r.n.now(), r.path[1:], raw)
	if err != nil {
		return nil, err
	}
	return vfs.NewOnce(out), nil
}
