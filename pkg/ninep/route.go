package ninep

import (
	"context"
	"errors"
	"slices"
	"syscall"
)

// walk gives the exchange a fid and adds the calls that walk it to n and on
// along names. The two are walked apart, so that what is wrong with the first of
// names comes back as itself: a walk that ends on the way tells no reason.
func (ex *exchange) walk(n *node, names []string) error {
	if len(n.path)+len(names) > maxDepth {
		ex.recycle()
		return syscall.ENAMETOOLONG
	}
	ex.fid = ex.c.newFid()
	from := ex.walkFrom(n.root.fid, n.path)
	ex.walkFrom(from, names)
	if len(ex.calls) == 0 {
		ex.add(call{typ: tWalk, fid: n.root.fid, newfid: ex.fid})
	}
	return nil
}

func (ex *exchange) walkFrom(from uint32, names []string) uint32 {
	for part := range slices.Chunk(names, MaxWalk) {
		ex.add(call{typ: tWalk, fid: from, newfid: ex.fid, names: part})
		from = ex.fid
	}
	return from
}

// clunk adds the clunk of the exchange's fid, if it has one.
func (ex *exchange) clunk() {
	if ex.fid != noFID {
		ex.add(call{typ: tClunk, fid: ex.fid})
	}
}

// errPartial is a walk that ended after that many elements of the whole path.
type errPartial struct{ walked int }

func (errPartial) Error() string { return syscall.ENOENT.Error() }

// Unwrap makes it the ENOENT that it most probably is.
func (errPartial) Unwrap() error { return syscall.ENOENT }

// arrived returns the qids of names, if the calls of walk have passed the very
// objects that n remembers and gone all the way.
func (ex *exchange) arrived(n *node, names []string) ([]qid, error) {
	qids := make([]qid, 0, len(names))
	walked := 0
	for _, k := range ex.calls {
		if k.typ != tWalk {
			break
		}
		if k.err != nil {
			return nil, k.err
		}
		for _, q := range k.qids {
			switch {
			case q.path == 0:
				return nil, syscall.EIO
			case walked >= len(n.path):
				qids = append(qids, q)
			case q.path != n.ids[walked]:
				return nil, syscall.ENOENT
			}
			walked++
		}
		if len(k.qids) < len(k.names) {
			return nil, errPartial{walked}
		}
	}
	return qids, nil
}

// explain finds the reason of a walk that ended on the way, by walking again
// with that element by itself. Any other error is returned as it is.
func (n *node) explain(ctx context.Context, names []string, err error) error {
	var partial errPartial
	if !errors.As(err, &partial) {
		return err
	}
	all := slices.Concat(n.path, names)
	ex := n.root.c.newExchange()
	ex.fid = ex.c.newFid()
	from := ex.walkFrom(n.root.fid, all[:partial.walked])
	last := ex.add(call{typ: tWalk, fid: from, newfid: ex.fid, names: all[partial.walked : partial.walked+1]})
	ex.clunk()
	if err := ex.do(ctx); err != nil {
		return err
	}
	reason := last.err
	before := ex.calls[:len(ex.calls)-2]
	for _, k := range before {
		if k.err != nil || len(k.qids) < len(k.names) {
			reason = nil // it changes as we look
		}
	}
	ex.release()
	if reason == nil || errors.Is(reason, errSkipped) {
		return syscall.ENOENT
	}
	return reason
}
