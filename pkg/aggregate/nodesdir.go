package aggregate

import (
	"context"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// newNodesDir makes nodes/: each node of the view by name, listed at the top of
// the tree only.
func newNodesDir(v *view, id uint64) vfs.Node {
	return &madeDir{made: v.c.made, id: id, walk: func(_ context.Context, name string) (vfs.Node, error) {
		n := v.node(NodeName(name))
		if n == nil {
			return nil, syscall.ENOENT
		}
		return newNodeRoot(n, v, childID(id, name)), nil
	}, list: func(context.Context) ([]vfs.DirEntry, error) {
		return v.nodeEntries(id), nil
	}}
}

// nodeEntries lists the nodes of the view, at the top of the tree only, so that
// a recursive walk does not meet them again below each set and user.
func (v *view) nodeEntries(parent uint64) []vfs.DirEntry {
	if v.path != "" {
		return nil
	}
	all := make([]vfs.DirEntry, len(v.nodes))
	for i, n := range v.nodes {
		all[i] = vfs.DirEntry{Name: string(n.name), ID: childID(parent, string(n.name)), Type: vfs.TypeDir, Next: uint64(n.index) + 1}
	}
	return all
}

// nodeRoot is the root of one node's own /proc, nothing rewritten. Its
// processes' prefetched files come from the node's table like those of the
// merged tree.
type nodeRoot struct {
	remoteDir
	sees  func(uid uint32) bool // whether processes of that owner exist in it
	fixed vfs.Attr              // its own attributes
	// limited: it shows the processes of some users only, and of what belongs to
	// the whole node only nodeWide.
	limited bool
}

// nodeWide are the files of a /proc root that tell of the machine and not of its
// users' processes, as locks, sysvipc and key-users do. What is not here does
// not exist in a view that is limited in processes.
var nodeWide = map[string]bool{
	"buddyinfo": true, "cgroups": true, "consoles": true, "cpuinfo": true, "crypto": true, "devices": true,
	"diskstats": true, "filesystems": true, "interrupts": true, "irq": true, "loadavg": true, "mdstat": true,
	"meminfo": true, "misc": true, "modules": true, "partitions": true, "pressure": true, "softirqs": true,
	"stat": true, "swaps": true, "sys": true, "uptime": true, "version": true, "vmstat": true, "zoneinfo": true,
}

func newNodeRoot(n *node, v *view, id uint64) *nodeRoot {
	return &nodeRoot{
		remoteDir: remoteDir{remote{n: n, who: v.who, id: id, attr: vfs.Attr{Mode: uint32(vfs.TypeDir) | 0o555}}},
		sees:      v.sees,
		fixed:     v.c.made.attr(id, vfs.TypeDir),
		limited:   v.owner != nil,
	}
}

// Attr implements vfs.Node. The directory is there even while the node is not.
func (r *nodeRoot) Attr(context.Context) (vfs.Attr, error) { return r.fixed, nil }

// Preview implements vfs.Previewer.
func (r *nodeRoot) Preview() vfs.Attr { return r.fixed }

// Walk implements vfs.Dir.
func (r *nodeRoot) Walk(ctx context.Context, name string) (vfs.Node, error) {
	pid, ok := parsePID(name, maxGPID)
	if !ok {
		if r.limited && !nodeWide[name] {
			return nil, syscall.ENOENT
		}
		return r.remoteDir.Walk(ctx, name)
	}
	r.n.renew(ctx, PID(pid))
	if t := r.n.table.Load(); t.keep(r.n.now()) > 0 {
		if i, ok := t.Find(int32(pid)); ok && r.sees(t.Proc(i).UID) {
			p := &process{n: r.n, pid: PID(pid), leaf: t.Proc(i).ID}
			return newProcessDir(r.who, r.id, p, rowAttr(t, i, t.keep(r.n.now()))), nil
		}
	}
	found, ids, err := r.walk(ctx, name)
	if err != nil {
		return nil, err
	}
	a, err := r.attrOf(ctx, found)
	if err != nil {
		return nil, err
	}
	if a.Type() != vfs.TypeDir || !r.sees(a.UID) {
		return nil, syscall.ENOENT
	}
	return newProcessDir(r.who, r.id, &process{n: r.n, pid: PID(pid), leaf: ids[0]}, a), nil
}

// List implements vfs.Dir.
func (r *nodeRoot) List(context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(func(ctx context.Context) ([]vfs.DirEntry, error) {
		var t *table
		if !r.who.IsRoot() {
			var err error
			if t, err = r.n.fresh(ctx); err != nil {
				return nil, err
			}
		}
		all, err := r.list(ctx)
		if err != nil {
			return nil, err
		}
		out := all[:0]
		for _, e := range all {
			pid, ok := parsePID(e.Name, maxGPID)
			switch {
			case !vfs.ValidName(e.Name):
				continue
			case !ok && r.limited && !nodeWide[e.Name]:
				continue
			case !ok:
				e.ID = childID(r.id, e.Name)
			case t != nil && !t.shows(PID(pid), r.sees):
				continue
			default:
				e.ID = processID(r.id, r.n.index, e.ID)
			}
			out = append(out, e)
		}
		return out, nil
	}), nil
}

// shows tells whether the table has the process and its owner is seen.
func (t *table) shows(pid PID, sees func(uint32) bool) bool {
	i, ok := t.Find(int32(pid))
	return ok && sees(t.Proc(i).UID)
}
