package aggregate

import (
	"context"
	"strconv"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// find finds the process with that native pid, if it exists for the viewer: its number at
// the leaf and its attributes. ENOENT is that it does not. What a table says is enough to
// know that a process is there; that it is not only the node can say.
//
// Where there are processes that do not exist for the viewer, one of them and a number
// that nobody has make the same exchanges, and the leaf does the same for both, see
// findAmong. A thread can be walked to by its number too, though no listing has it: it is
// not found either.
func (n *node) find(ctx context.Context, v viewer, pid gpid.PID) (leaf uint64, a vfs.Attr, err error) {
	n.renew(pid)
	t, keep := n.current()
	if t != nil {
		if i, ok := t.Find(int32(pid)); ok && v.sees(t.UID(i)) {
			if n.form(t, i, v.identity()) != unknown {
				return t.ID(i), rowAttr(t, i, keep), nil
			}
			return n.findAt(ctx, v, pid)
		}
	}
	if v.limited() {
		return n.findAmong(ctx, v, t, pid)
	}
	return n.findAt(ctx, v, pid)
}

// findAt asks the node what is at that pid for the viewer.
func (n *node) findAt(ctx context.Context, v viewer, pid gpid.PID) (leaf uint64, a vfs.Attr, err error) {
	r := remote{n: n, v: v, path: []string{strconv.Itoa(int(pid))}}
	found, ids, err := r.walk(ctx)
	if err != nil {
		return 0, a, err
	}
	if a, err = r.attrOf(ctx, found); err != nil {
		return 0, a, err
	}
	if a.Type() != vfs.TypeDir || !v.sees(a.UID) {
		return 0, a, syscall.ENOENT
	}
	return ids[0], a, nil
}

// everyPID is a process that every node has.
const everyPID = 1

// findAmong is findAt for a viewer who is limited in processes and to whom no table shows
// that process. It asks for the list of all pids, and then for one process directory: the
// one that is looked for if it may exist for the viewer, that is, if it is listed and t, a
// good table or nil, does not have it as another user's. Or else it asks for another one,
// which is there, and drops the answer.
func (n *node) findAmong(ctx context.Context, v viewer, t *table, pid gpid.PID) (leaf uint64, a vfs.Attr, err error) {
	live, err := n.listPIDs(ctx, n.reader)
	if err != nil {
		return 0, a, err
	}
	leaf, listed := live[pid]
	if listed && t != nil {
		i, ok := t.Find(int32(pid))
		listed = !ok || t.ID(i) != leaf || v.sees(t.UID(i))
	}
	if !listed {
		return 0, a, n.findNobody(ctx, v)
	}
	found, a, err := n.findAt(ctx, v, pid)
	if err == nil && found != leaf {
		err = syscall.ENOENT
	}
	return leaf, a, err
}

// findNobody makes the exchange of findAt for a process that does not exist for the
// viewer. It returns ENOENT, or why the node could not be asked.
func (n *node) findNobody(ctx context.Context, v viewer) error {
	_, _, err := n.findAt(ctx, seeingAll{v}, everyPID)
	if err == nil || refused(err) {
		err = syscall.ENOENT
	}
	return err
}

// seeingAll is a viewer as whom a node is asked for what is not shown.
type seeingAll struct{ viewer }

func (seeingAll) sees(uint32) bool                                   { return true }
func (seeingAll) admits(*node, func() (uint32, bool), []string) bool { return true }

// likeFound makes the exchanges that it takes to find that a process does not exist for
// the view, for a gpid that is dealt to no node of it. Where gpids are dealt in pages the
// number alone does not say so: somebody's hidden process could have it.
func (v *view) likeFound(ctx context.Context, g gpid.GPID) error {
	nodes := v.nodes()
	if !v.limited() || v.c.numbers.Rising() || len(nodes) == 0 {
		return syscall.ENOENT
	}
	_, _, err := nodes[int(g)%len(nodes)].findAmong(ctx, v, nil, 0)
	return err
}
