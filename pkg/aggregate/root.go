package aggregate

import (
	"context"
	"hash/fnv"
	"slices"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/sums"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// root is the root directory of a view.
type root struct{ v *view }

// ID implements vfs.Node.
func (r *root) ID() uint64 { return r.v.id }

// Type implements vfs.Node.
func (r *root) Type() vfs.Type { return vfs.TypeDir }

// Vacant implements vfs.Vacant: there is no node in the view.
func (r *root) Vacant() bool { return len(r.v.nodes()) == 0 }

// perNode is about what a node takes in a set of nodes, in bytes.
const perNode = 64

// Weight implements vfs.Weighty.
func (r *root) Weight() int64 { return r.v.weight() }

// weight is what the sets of nodes take that a view has, where it has not all.
func (v *view) weight() int64 { return perNode * int64(len(v.part)+len(v.reach().in)) }

// Attr implements vfs.Node.
func (r *root) Attr(context.Context) (vfs.Attr, error) {
	return r.v.c.made.attr(r.v.id, vfs.TypeDir), nil
}

// Walk implements vfs.Dir.
func (r *root) Walk(ctx context.Context, name string) (vfs.Node, error) {
	if g, ok := gpid.Parse(name); ok {
		return r.walkGPID(ctx, g)
	}
	if node, pid, ok := strings.Cut(name, ":"); ok {
		return r.walkQualified(ctx, gpid.NodeName(node), pid)
	}
	if _, ok := rootNames[name]; ok {
		if sums.For(name) != nil && r.v.denies(name) {
			return nil, syscall.ENOENT
		}
		return r.v.named(name), nil
	}
	return r.v.standing(r.v.c.native.entry(r.v.id, name))
}

// rootNames are the names of a root besides the processes and what is the
// reader's own.
var rootNames = map[string]vfs.Type{
	"nodes": vfs.TypeDir, "sets": vfs.TypeDir, "users": vfs.TypeDir, "cluster": vfs.TypeDir, "sys": vfs.TypeDir,
	"cpuinfo": vfs.TypeFile, "loadavg": vfs.TypeFile, "meminfo": vfs.TypeFile, "stat": vfs.TypeFile, "vmstat": vfs.TypeFile,
}

// named makes the entry of one of rootNames.
func (v *view) named(name string) vfs.Node {
	id := childID(v.id, name)
	switch name {
	case "nodes":
		return newNodesDir(v, id)
	case "sets":
		return newSetsDir(v, id)
	case "users":
		return newUsersDir(v, id)
	case "cluster":
		return newClusterDir(v, id)
	case "sys":
		return newSysDir(v.c.native, id, v.standing)
	}
	return newSumFile(v, name, id)
}

// walkGPID finds a process of the view. The reader's own process can be walked in
// every root, as a link to the native one: procps refuses to start without it, and
// programs look for themselves there. Over 9P, which does not tell who the reader
// is, that holds for all processes of the reading user on this machine.
func (r *root) walkGPID(ctx context.Context, g gpid.GPID) (vfs.Node, error) {
	if isCaller(ctx, g) {
		return r.v.c.native.ownLink(r.v.id, g.String()), nil
	}
	n, pid, ok := r.v.locate(g)
	if ok {
		p, a, err := r.v.process(ctx, n, pid)
		if err == nil {
			return newProcessDir(r.v, r.v.id, p, a), nil
		}
		if vfs.Errno(err) != syscall.ENOENT {
			return nil, n.told(err)
		}
	} else {
		_ = r.v.likeFound(ctx, g) // it is nobody's, whatever that says
	}
	if g <= gpid.MaxPID && r.v.c.native.mayBeCaller(ctx, r.v.who, gpid.PID(g)) {
		return r.v.c.native.link(childID(r.v.id, g.String()), g.String()), nil
	}
	if g == 1 {
		return r.v.c.native.initProcess(ctx, r.v.id)
	}
	return nil, syscall.ENOENT
}

// walkQualified finds a process by node and native pid.
func (r *root) walkQualified(ctx context.Context, name gpid.NodeName, pid string) (vfs.Node, error) {
	n := r.v.node(name)
	native, ok := gpid.ParsePID(pid)
	if n == nil || !ok {
		return nil, syscall.ENOENT
	}
	p, a, err := r.v.process(ctx, n, native)
	if err != nil {
		return nil, n.told(err)
	}
	return newProcessDir(r.v, r.v.id, p, a), nil
}

// List implements vfs.Dir. It sweeps the nodes of the view.
func (r *root) List(context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(r.entries), nil
}

func (r *root) entries(ctx context.Context) ([]vfs.DirEntry, error) {
	v := r.v
	nodes, rosters := v.rosters(ctx)
	total := 64
	for _, r := range rosters {
		if r.t != nil {
			total += r.t.Len()
		}
	}
	all := make([]vfs.DirEntry, 0, total)
	for i, n := range nodes {
		t := rosters[i].t
		if t == nil {
			continue
		}
		v.c.mapping(n, t.Facts(), v.host)
		for k := range t.Len() {
			p := t.Proc(k)
			g := n.gpid(gpid.PID(p.PID))
			if g == 0 || !v.sees(p.UID) || !rosters[i].has(k) {
				continue
			}
			all = append(all, vfs.DirEntry{
				Name: g.String(), ID: processID(v.id, n.index, p.ID), Type: vfs.TypeDir, Next: uint64(g) + 1,
			})
		}
	}
	if !v.c.numbers.Rising() {
		sortEntries(all)
	}
	if len(all) == 0 {
		all = v.c.native.ownEntry(ctx, v.id)
	}
	return append(all, v.c.native.otherNames(v.id, v.denies)...), nil
}

// otherNames are the entries of a root that are no processes.
func (n *native) otherNames(parent uint64, denies func(...string) bool) []vfs.DirEntry {
	var all []vfs.DirEntry
	for name, t := range rootNames {
		if sums.For(name) != nil && denies(name) {
			continue
		}
		all = append(all, namedEntry(parent, name, t))
	}
	for _, name := range n.names() {
		all = append(all, namedEntry(parent, name, vfs.TypeLink))
	}
	return sortEntries(all)
}

// namedEntry is the entry of a name that is no number. Its offset comes from the
// name alone, so that it is the same whatever else there is, and lies behind
// those of all numbers.
func namedEntry(parent uint64, name string, t vfs.Type) vfs.DirEntry {
	h := fnv.New64a()
	h.Write([]byte(name))
	return vfs.DirEntry{Name: name, ID: childID(parent, name), Type: t, Next: 1<<32 + h.Sum64()>>24}
}

func sortEntries(all []vfs.DirEntry) []vfs.DirEntry {
	slices.SortFunc(all, func(a, b vfs.DirEntry) int {
		if a.Next < b.Next {
			return -1
		}
		return 1
	})
	return all
}
