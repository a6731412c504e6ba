package tree

import (
	"context"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/actions"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/listing"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remote"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// root is the root directory of a view.
type root struct{ v viewTree }

// ID implements vfs.Node.
func (r *root) ID() uint64 { return r.v.ID }

// Type implements vfs.Node.
func (r *root) Type() vfs.Type { return vfs.TypeDir }

// Vacant implements vfs.Vacant: there is no node in the view.
func (r *root) Vacant() bool { return len(r.v.Nodes()) == 0 }

// Weight implements vfs.Weighty.
func (r *root) Weight() int64 { return r.v.Weight() }

// Attr implements vfs.Node.
func (r *root) Attr(context.Context) (vfs.Attr, error) {
	return r.v.t.base.Attr(r.v.ID, vfs.TypeDir), nil
}

// Walk implements vfs.Dir.
func (r *root) Walk(ctx context.Context, name string) (vfs.Node, error) {
	if n, ok := gpid.Parse(name); ok {
		return r.walkGPID(ctx, n)
	}
	if node, pid, ok := strings.Cut(name, ":"); ok {
		return r.walkQualified(ctx, gpid.NodeName(node), pid)
	}
	if _, ok := rootNames[name]; ok {
		if procfile.Sum(name) != nil && r.v.Denies(name) {
			return nil, syscall.ENOENT
		}
		return r.v.named(name), nil
	}
	if n := nativeEntry(r.v, name); n != nil {
		return n, nil
	}
	if name == "uptime" && r.v.older > 0 {
		return newUptime(r.v.t.base, r.v.t.Proc, r.v.older, objectid.Child(r.v.ID, name)), nil
	}
	return r.v.standing(r.v.native.entry(r.v.ID, r.v.depth, name))
}

// rootNames are the names of a root besides the processes and what is the
// reader's own.
var rootNames = map[string]vfs.Type{
	"nodes": vfs.TypeDir, "sets": vfs.TypeDir, "users": vfs.TypeDir, "cluster": vfs.TypeDir, "sys": vfs.TypeDir,
	"cpuinfo": vfs.TypeFile, "loadavg": vfs.TypeFile, "meminfo": vfs.TypeFile, "stat": vfs.TypeFile, "vmstat": vfs.TypeFile,
}

// named makes the entry of one of rootNames.
func (v viewTree) named(name string) vfs.Node {
	id := objectid.Child(v.ID, name)
	switch name {
	case "nodes":
		return newNodesDir(v, id)
	case "sets":
		return newSetsDir(v, id)
	case "users":
		return newUsersDir(v, id)
	case "cluster":
		return v.t.tables.Dir(v.session(), id)
	case "sys":
		cpus := func(_ context.Context, id uint64) (vfs.Node, error) { return newCPUsPath(v, id), nil }
		return sysDir{v.native, v.t.Numbers, v.depth + 1, v.standing, cpus}.at(id)
	}
	return newSumFile(v, name, id)
}

// process is the directory of the process with that native pid on a node, or of the one that
// the reader was listed there.
func (r *root) process(ctx context.Context, n *proctable.Node, pid gpid.PID) (vfs.Node, error) {
	if v := r.v; isHead(v, n) {
		p, a, err := view.Resolve(ctx, v.View, n, pid)
		if err != nil {
			return nil, err
		}
		return newHeadProcess(v, remote.NewProcessDir(v.View, v.ID, p, a), pid, p.Leaf), nil
	}
	d, err := processDir(ctx, r.v.View, r.v.listed, r.v.Host, r.v.ID, n, pid)
	if err != nil {
		return nil, err
	}
	return remote.WithCtl(d, r.v.ctl), nil
}

// processDir is process of the root with that number, whose reader is on machine h.
func processDir(ctx context.Context, v view.Viewer, listed *listing.Root, h proctable.Host, id uint64, n *proctable.Node, pid gpid.PID) (vfs.Dir, error) {
	if d := remote.ListedDir(ctx, listed, v, h, id, n, pid); d != nil {
		return d, nil
	}
	p, a, err := view.Resolve(ctx, v, n, pid)
	if err != nil {
		return nil, err
	}
	if p.Map, err = n.MapFor(ctx, h); err != nil {
		return nil, err
	}
	p.Listed = listed
	d := remote.NewProcessDir(v, id, p, a)
	if listed.Contested(n, pid, p.Leaf) {
		return d.Fleeting(), nil
	}
	return d, nil
}

// walkGPID finds a process of the view. The reader's own process can be walked in
// every root, as a link to the native one, or with others, see related: procps refuses
// to start without it, and programs look for themselves there. Over 9P, which does not tell who the reader
// is, that holds for all processes of the reading user on this machine.
func (r *root) walkGPID(ctx context.Context, g gpid.GPID) (vfs.Node, error) {
	native := r.v.native
	if native.Inside == "" && isCaller(ctx, g) {
		return native.ownLink(r.v.ID, g.String()), nil
	}
	if n, pid, ok := r.v.Locate(g); ok {
		p, err := r.process(ctx, n, pid)
		if err == nil {
			return p, nil
		}
		if vfs.Errno(err) != syscall.ENOENT {
			return nil, n.Told(err)
		}
	} else {
		_ = r.v.ResolveNobody(ctx, g) // it is nobody's, whatever that says
	}
	if native.Inside != "" {
		return related(ctx, r.v, g)
	}
	if g <= gpid.MaxPID && !r.v.Host.Elsewhere && native.mayBeCaller(ctx, r.v.Who, gpid.PID(g)) {
		return native.link(objectid.Child(r.v.ID, g.String()), r.v.depth, g.String()), nil
	}
	if g == 1 {
		return native.initProcess(ctx, r.v.ID)
	}
	return nil, syscall.ENOENT
}

// walkQualified finds a process by node and native pid.
func (r *root) walkQualified(ctx context.Context, name gpid.NodeName, pid string) (vfs.Node, error) {
	n := r.v.Node(name)
	native, ok := gpid.ParsePID(pid)
	if n == nil || !ok {
		return nil, syscall.ENOENT
	}
	p, err := r.process(ctx, n, native)
	if err != nil {
		return nil, n.Told(err)
	}
	return p, nil
}

// List implements vfs.Dir. It sweeps the nodes of the view.
func (r *root) List(context.Context) (vfs.DirHandle, error) {
	l := &rootList{}
	l.Listing = vfs.NewListing(func(ctx context.Context) ([]vfs.DirEntry, error) {
		return r.entries(ctx, l.anew.Swap(false))
	})
	return l, nil
}

// A rootList is a root being read.
type rootList struct {
	*vfs.Listing
	anew atomic.Bool // it is read from its start
}

// ReadDir implements vfs.DirHandle.
func (l *rootList) ReadDir(ctx context.Context, offset uint64, dst []vfs.DirEntry, most int) ([]vfs.DirEntry, error) {
	if offset == 0 {
		l.anew.Store(true)
	}
	return l.Listing.ReadDir(ctx, offset, dst, most)
}

// entries are the root's now. Where it is read anew, and not entries that were let go of
// brought again, they are the listing of the reader from now on.
func (r *root) entries(ctx context.Context, anew bool) ([]vfs.DirEntry, error) {
	v := r.v
	var listed *listing.Listing
	if anew {
		listed = v.listed.Begin()
	}
	nodes, rosters := v.listing(ctx)
	total := 64
	for _, r := range rosters {
		total += r.Len()
	}
	all := make([]vfs.DirEntry, 0, total)
	for r := range v.rows(nodes, rosters) {
		listed.Add(r.n, r.Row)
		all = append(all, vfs.DirEntry{
			Name: r.gpid.String(), ID: objectid.Process(v.ID, r.n.Index, r.ID()), Type: vfs.TypeDir, Next: uint64(r.gpid) + 1,
		})
	}
	if anew {
		v.listed.Keep(ctx, listed)
	}
	if !v.t.Numbers.Rising() || v.Host.Elsewhere {
		synthetic.Sort(all)
	}
	if len(all) == 0 {
		all = ownEntry(ctx, v)
	}
	return append(all, v.native.otherNames(v.ID, v.Denies)...), nil
}

// otherNames are the entries of a root that are no processes.
func (n *native) otherNames(parent uint64, denies func(...string) bool) []vfs.DirEntry {
	var all []vfs.DirEntry
	for name, t := range rootNames {
		if procfile.Sum(name) != nil && denies(name) {
			continue
		}
		all = append(all, synthetic.Entry(parent, name, t))
	}
	for _, name := range n.names() {
		all = append(all, synthetic.Entry(parent, name, vfs.TypeLink))
	}
	return synthetic.Sort(all)
}

// narrowed is the same tree as a view within that one has it.
func (v viewTree) narrowed(to *view.View) viewTree {
	v.View, v.listed = to, v.listed.At(to.Path)
	v.depth += 2 // as sets/NAME
	return v
}

// standing is a link into the reader's native procfs for a view: what is nearest
// to it in the tree, for clients that know no links, is the head node's own file
// of that name, since it is the head's clock that start times are told by.
func (v viewTree) standing(l *synthetic.Link, err error) (vfs.Node, error) {
	if err != nil {
		return nil, err
	}
	return &standingLink{l, v}, nil
}

// session is the view as one whose requester may act on processes.
func (v viewTree) session() *actions.Session { return v.t.Actions.For(v.View, v.from) }

// ctl is a remote.Ctl.
func (v viewTree) ctl(p *view.Process, id uint64) vfs.Node {
	s := v.session()
	if !s.Allowed() {
		return nil
	}
	return s.Process(p, v.t.base.Attr(id, vfs.TypeFile))
}
