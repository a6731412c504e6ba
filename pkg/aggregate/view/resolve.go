package view

import (
	"context"
	"strconv"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/listing"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Process is one process of a node, as the object that Leaf numbers; whoever
// has the pid later is another.
type Process struct {
	Node *proctable.Node
	PID  gpid.PID
	UID  uint32 // whose it was when it was found
	Leaf uint64
	// Map rewrites its files; nil in trees that show the node as it is.
	Map *procfile.Map
	// Listed is the root whose readers may have been listed it; nil is that none is promised
	// what was listed.
	Listed *listing.Root
}

// Of is the process of a row.
func Of(n *proctable.Node, r proctable.Row) *Process {
	return &Process{Node: n, PID: r.PID(), Leaf: r.ID(), UID: r.UID()}
}

// Owner is whose the process is, as far as is known: a process can change it. It is not ok
// where there is no process.
func (p *Process) Owner() (uid uint32, ok bool) {
	if p == nil {
		return 0, false
	}
	if r, _ := p.Node.Lookup(p.PID, p.Leaf); r.OK() {
		return r.UID(), true
	}
	return p.UID, true
}

// Resolve finds the process with that native pid on a node, if it exists for the viewer, and
// its attributes. ENOENT is that it does not. What a table says is enough to
// know that a process is there; that it is not only the node can say.
//
// Where there are processes that do not exist for the viewer, one of them and a number
// that nobody has make the same exchanges, and the leaf does the same for both, see
// resolveAmong. A thread can be walked to by its number too, though no listing has it: it is
// not found either.
func Resolve(ctx context.Context, v Viewer, n *proctable.Node, pid gpid.PID) (*Process, vfs.Attr, error) {
	n.Renew(pid)
	t, keep := n.Current()
	if t != nil {
		if r, ok := t.Lookup(pid); ok && v.Sees(r.UID()) {
			if n.Visibility(r, v.Identity()) != proctable.None && !n.Live() {
				return Of(n, r), r.Attr(keep), nil
			}
			return ask(ctx, v, n, pid)
		}
	}
	if v.Limited() {
		return resolveAmong(ctx, v, n, t, pid)
	}
	return ask(ctx, v, n, pid)
}

// ask asks the node what is at that pid for the viewer.
func ask(ctx context.Context, v Viewer, n *proctable.Node, pid gpid.PID) (*Process, vfs.Attr, error) {
	name := strconv.Itoa(int(pid))
	if !v.Admits(n, func() (uint32, bool) { return 0, false }, []string{name}) {
		return nil, vfs.Attr{}, syscall.ENOENT
	}
	var found vfs.Node
	var ids []uint64
	err := n.Call(ctx, v.Identity(), func(ctx context.Context, root vfs.Dir) (err error) {
		found, ids, err = vfs.WalkPath(ctx, root, name)
		return err
	})
	if err != nil {
		return nil, vfs.Attr{}, err
	}
	a, err := n.AttrOf(ctx, v.Identity(), found)
	switch {
	case err != nil:
		return nil, vfs.Attr{}, err
	case a.Type() != vfs.TypeDir || !v.Sees(a.UID):
		return nil, vfs.Attr{}, syscall.ENOENT
	}
	return &Process{Node: n, PID: pid, Leaf: ids[0], UID: a.UID}, a, nil
}

// everyPID is a process that every node has.
const everyPID = 1

// resolveAmong is Resolve for a viewer who is limited in processes and to whom no table shows
// that process. It asks for the list of all pids, and then for one process directory: the
// one that is looked for if it may exist for the viewer, that is, if it is listed and t, a
// good table or nil, does not have it as another user's. Or else it asks for another one,
// which is there, and drops the answer.
func resolveAmong(ctx context.Context, v Viewer, n *proctable.Node, t *proctable.Table, pid gpid.PID) (*Process, vfs.Attr, error) {
	live, err := n.ListPIDs(ctx, n.Reader)
	if err != nil {
		return nil, vfs.Attr{}, err
	}
	leaf, listed := live[pid]
	if listed && t != nil {
		r, ok := t.Lookup(pid)
		listed = !ok || r.ID() != leaf || v.Sees(r.UID())
	}
	if !listed {
		return nil, vfs.Attr{}, askNobody(ctx, v, n)
	}
	p, a, err := ask(ctx, v, n, pid)
	if err == nil && p.Leaf != leaf {
		err = syscall.ENOENT
	}
	return p, a, err
}

// askNobody makes the exchange of ask for a process that does not exist for the
// viewer. It returns ENOENT, or why the node could not be asked.
func askNobody(ctx context.Context, v Viewer, n *proctable.Node) error {
	_, _, err := ask(ctx, seeingAll{v}, n, everyPID)
	if err == nil || Refused(err) {
		err = syscall.ENOENT
	}
	return err
}

// Refused reports whether an error is what the node answered to who may not have a
// file, or of a file that it has not.
func Refused(err error) bool {
	switch vfs.Errno(err) {
	case syscall.EACCES, syscall.EPERM, syscall.ENOENT:
		return true
	}
	return false
}

// seeingAll is a viewer as whom a node is asked for what is not shown.
type seeingAll struct{ Viewer }

func (seeingAll) Sees(uint32) bool                                             { return true }
func (seeingAll) Admits(*proctable.Node, func() (uint32, bool), []string) bool { return true }

// ResolveNobody makes the exchanges that it takes to find that a process does not exist for
// the view, for a gpid that is dealt to no node of it. Where gpids are dealt in pages the
// number alone does not say so: somebody's hidden process could have it. It returns ENOENT, or
// why a node could not be asked.
func (v *View) ResolveNobody(ctx context.Context, g gpid.GPID) error {
	nodes := v.Nodes()
	if !v.Limited() || v.all.Numbers.Rising() || len(nodes) == 0 {
		return syscall.ENOENT
	}
	_, _, err := resolveAmong(ctx, v, nodes[int(g)%len(nodes)], nil, 0)
	return err
}
