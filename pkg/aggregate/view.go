package aggregate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/nodeset"
	"github.com/aggrfs/aggrfs/pkg/aggregate/rewrite"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A view is what one identity may see of the cluster, or a part of it: which
// nodes, and whose processes. What is outside of it does not exist.
//
// Root sees all; anyone else their own processes, on all nodes.
type view struct {
	c     *Cluster
	who   vfs.Identity
	nodes []*node        // by index
	in    map[*node]bool // the same as a set; nil is all of the cluster's
	owner *uint32        // only this user's processes; nil is everybody's
	id    uint64         // number of the root directory
	path  string         // from the top: "", "/sets/n[1-3]"
}

// view is the whole of what who may see.
func (c *Cluster) view(who vfs.Identity) *view {
	v := &view{c: c, who: who, nodes: c.nodes, id: childID(fnvOffset, "")}
	if !who.IsRoot() {
		v.owner = &who.UID
	}
	if who.UID == vfs.OverflowID { // who is nobody owns no process, whatever runs under that number
		nobody := vfs.NoID
		v.owner = &nobody
	}
	return v
}

// sees tells whether processes of that owner are in the view.
func (v *view) sees(uid uint32) bool { return v.owner == nil || *v.owner == uid }

// node is the node of that name if it is in the view.
func (v *view) node(name NodeName) *node {
	if n := v.c.byName[name]; n != nil && v.has(n) {
		return n
	}
	return nil
}

// has tells whether the node is in the view.
func (v *view) has(n *node) bool { return v.in == nil || v.in[n] }

// set is the view limited to the nodes of a nodeset, all of which must be in it.
func (v *view) set(expr string) (*view, error) {
	set, err := nodeset.Parse(expr)
	if err != nil {
		return nil, syscall.ENOENT
	}
	sub := *v
	sub.nodes, sub.in = nil, map[*node]bool{}
	for _, name := range set.Names() {
		n := v.node(NodeName(name))
		if n == nil {
			return nil, syscall.ENOENT
		}
		sub.nodes = append(sub.nodes, n)
		sub.in[n] = true
	}
	sortByIndex(sub.nodes)
	sub.path = v.path + "/sets/" + set.String()
	sub.id = childID(childID(v.id, "sets"), set.String())
	return &sub, nil
}

// user is the view limited to the processes of one user, who must be one it can
// show.
func (v *view) user(name string) (*view, error) {
	uid, ok := v.c.users.lookup(name)
	if !ok || !v.sees(uid) {
		return nil, syscall.ENOENT
	}
	sub := *v
	sub.owner = &uid
	sub.path = v.path + "/users/" + name
	sub.id = childID(childID(v.id, "users"), name)
	return &sub, nil
}

// at is the view of the root at that path below this one.
func (v *view) at(path string) (*view, error) {
	for path != "" {
		rest, ok := strings.CutPrefix(path, "/")
		kind, rest, ok2 := strings.Cut(rest, "/")
		name, rest, more := strings.Cut(rest, "/")
		if !ok || !ok2 || name == "" {
			return nil, syscall.ENOENT
		}
		var err error
		switch kind {
		case "sets":
			v, err = v.set(name)
		case "users":
			v, err = v.user(name)
		default:
			err = syscall.ENOENT
		}
		if err != nil {
			return nil, err
		}
		if path = ""; more {
			path = "/" + rest
		}
	}
	return v, nil
}

func (c *Cluster) attach(_ context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	path, snapshots := strings.CutPrefix(aname, snapshotName)
	if path == "/" {
		path = ""
	}
	v, err := c.view(who).at(path)
	if err != nil {
		return nil, fmt.Errorf("attach %q: %w", aname, err)
	}
	if snapshots {
		return newSnapshotDir(v), nil
	}
	return &root{v}, nil
}

// process finds the process with that native pid on a node of the view: in its
// table, or by asking the node.
func (v *view) process(ctx context.Context, n *node, pid PID) (*process, vfs.Attr, error) {
	n.renew(ctx, pid)
	if t := n.table.Load(); t.keep(n.now()) > 0 {
		if i, ok := t.Find(int32(pid)); ok {
			return v.admit(ctx, n, pid, t.Proc(i).ID, rowAttr(t, i, t.keep(n.now())))
		}
	}
	r := remote{n: n, who: v.who, path: []string{fmt.Sprint(pid)}}
	found, ids, err := r.walk(ctx)
	if err != nil {
		return nil, vfs.Attr{}, err
	}
	a, err := r.attrOf(ctx, found)
	if err != nil {
		return nil, vfs.Attr{}, err
	}
	return v.admit(ctx, n, pid, ids[0], a)
}

// admit makes the process if the view shows processes of its owner.
func (v *view) admit(ctx context.Context, n *node, pid PID, leaf uint64, a vfs.Attr) (*process, vfs.Attr, error) {
	if a.Type() != vfs.TypeDir || !v.sees(a.UID) {
		return nil, vfs.Attr{}, syscall.ENOENT
	}
	m, err := v.c.rewriter(ctx, n)
	if err != nil {
		return nil, vfs.Attr{}, err
	}
	return &process{n: n, pid: pid, leaf: leaf, m: m}, a, nil
}

// rewriter is what rewrites a node's files; a snapshot teaches it.
func (c *Cluster) rewriter(ctx context.Context, n *node) (*rewrite.Map, error) {
	if k := n.clock.Load(); k != nil {
		return k.m, nil
	}
	t, err := n.fresh(ctx)
	if err != nil {
		return nil, err
	}
	return c.mapping(n, t.Facts()), nil
}

// gpid is the gpid of a process of the cluster.
func (n *node) gpid(pid PID) GPID { return fixedGPID(n.index, pid) }

// locate finds the node and native pid of a gpid of the view.
func (v *view) locate(g GPID) (*node, PID, bool) {
	index, pid, ok := g.split()
	if !ok {
		return nil, 0, false
	}
	n := v.c.byIndex[index]
	if n == nil || !v.has(n) {
		return nil, 0, false
	}
	return n, pid, true
}

func sortByIndex(nodes []*node) {
	slices.SortFunc(nodes, func(a, b *node) int { return cmp.Compare(a.index, b.index) })
}
