package ninep

import (
	"context"
	"slices"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// walk carries out a Twalk (walk(5)). If the first name fails, the walk does;
// if a later one does, the answer has the qids of those before it and there is
// no new fid.
func (c *conn) walk(ctx context.Context, j *job, f *fid) error {
	r := &j.req
	if r.newfid == r.fid {
		j.from = f.at
		if f.open {
			return errAlreadyOpen
		}
	} else if f.at != nil {
		return errFidInUse
	}
	if j.from == nil {
		return syscall.EBADF
	}
	qids := j.rep.walked[:0]
	at, ok := j.from, false
	if len(r.names) > 0 && !c.standsIn(at, r.names[0]) {
		at, qids, ok = walkAtOnce(ctx, at, r.names, qids)
		ok = ok && !(c.dialect.plan9() && at.node.Type() == vfs.TypeLink)
	}
	if !ok {
		at, qids = j.from, j.rep.walked[:0]
		for i, name := range r.names {
			next, err := c.enter(ctx, at, name)
			if err != nil {
				if i == 0 {
					return err
				}
				j.rep.qids = qids
				return nil
			}
			at = next
			qids = append(qids, qidOf(at.node))
		}
	}
	j.rep.qids = qids
	return c.stand(f, at)
}

// step is where one name leads.
func (p *place) step(ctx context.Context, name string) (*place, error) {
	if name == ".." {
		return p.up(ctx)
	}
	if !vfs.ValidName(name) {
		if len(name) > vfs.MaxName {
			return nil, syscall.ENAMETOOLONG
		}
		return nil, syscall.ENOENT
	}
	if p.length+1+len(name) > MaxPath {
		return nil, syscall.ENAMETOOLONG
	}
	n, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	d, ok := n.(vfs.Dir)
	if !ok {
		return nil, syscall.ENOTDIR
	}
	child, err := d.Walk(ctx, name)
	if err != nil {
		return nil, err
	}
	if child == nil {
		return nil, syscall.EIO
	}
	return p.child(name, child.ID(), child), nil
}

// up is the parent; that of a root is itself.
func (p *place) up(ctx context.Context) (*place, error) {
	up := p
	if p.parent != nil {
		up = p.parent
	}
	n, err := up.open(ctx)
	if err != nil {
		return nil, err
	}
	if up.node != nil {
		return up, nil
	}
	seen := *up
	seen.node = n
	return &seen, nil
}

// walkAtOnce walks names in one exchange, if the tree can and all goes well:
// what went wrong, and after how many names, is only known by walking them one
// by one.
func walkAtOnce(ctx context.Context, from *place, names []string, qids []qid) (*place, []qid, bool) {
	w, ok := from.node.(vfs.PathWalker)
	length := from.length
	for _, name := range names {
		length += 1 + len(name)
	}
	if !ok || len(names) < 2 || length > MaxPath || slices.ContainsFunc(names, func(s string) bool { return !vfs.ValidName(s) }) {
		return nil, qids, false
	}
	n, ids, err := w.WalkPath(ctx, names...)
	if err != nil || n == nil || len(ids) != len(names) {
		return nil, qids, false
	}
	at := from
	for i, id := range ids {
		at = at.child(names[i], id, nil)
		qids = append(qids, qid{typ: qidDir, path: id})
	}
	at.node, at.weight = n, at.weight+weightOf(n)
	qids[len(qids)-1] = qidOf(n)
	return at, qids, true
}
