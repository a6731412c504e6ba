package ninep

import (
	"context"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A place is where in a tree a fid stands. It never changes, so that fids and
// requests share places freely.
type place struct {
	parent  *place // nil at the root of an attach
	name    string
	id      uint64
	node    vfs.Node // nil where a path was walked at once: nobody saw this node
	length  int      // of the path, in bytes
	weight  int64    // of all that is on the path, in bytes of memory
	account *account // of whom the tree is attached for
}

// rootPlace is where an attach has led.
func rootPlace(root vfs.Node, of *account) *place {
	return &place{node: root, id: root.ID(), weight: placeWeight + weightOf(root), account: of}
}

// weightOf is what a node holds beyond what any does, in bytes.
func weightOf(n vfs.Node) int64 {
	if w, ok := n.(vfs.Weighty); ok {
		return w.Weight()
	}
	return 0
}

// child is the place of an entry; node is nil where nobody saw it.
func (p *place) child(name string, id uint64, node vfs.Node) *place {
	return &place{
		parent: p, name: name, id: id, node: node, length: p.length + 1 + len(name),
		weight: p.weight + placeWeight + int64(len(name)) + weightOf(node), account: p.account,
	}
}

// top is the root that the place is below.
func (p *place) top() *place {
	for p.parent != nil {
		p = p.parent
	}
	return p
}

// open returns the place's node, walking to it if it was passed over.
func (p *place) open(ctx context.Context) (vfs.Node, error) {
	if p.node != nil {
		return p.node, nil
	}
	up, err := p.parent.open(ctx)
	if err != nil {
		return nil, err
	}
	d, ok := up.(vfs.Dir)
	if !ok {
		return nil, syscall.ENOTDIR
	}
	n, err := d.Walk(ctx, p.name)
	if err != nil {
		return nil, err
	}
	if n.ID() != p.id {
		return nil, syscall.ENOENT
	}
	return n, nil
}

// A fid is a client's handle on a place, and on what it opened there. An entry
// of the connection's table also exists for a fid that requests are still on
// their way to make.
//
// last is guarded by the connection's lock. All else belongs to the job at the
// head of the fid's queue, or, while no job is queued (last is nil), to the
// connection's reader.
type fid struct {
	num  uint32
	last *job // the youngest job queued on this fid

	at   *place // nil: no such fid (yet, or any more)
	open bool   // one of file and dir is set

	file    vfs.Handle
	writer  vfs.Writer // file, if it takes writes
	held    bool       // content is the whole file
	content []byte
	version uint32 // the open content's, for qids

	holder vfs.Holder // what is open, if it says what it holds
	hold   hold       // what is counted

	dir    vfs.DirHandle
	offset uint64 // where the next read of dir begins in Plan 9's dialect, in bytes
	resume uint64 // the vfs offset of that
}

// quickClose reports whether closing what is open cannot block.
func (f *fid) quickClose() bool {
	if !f.open {
		return true
	}
	if _, ok := f.dir.(*vfs.Listing); ok {
		return true
	}
	_, ok := f.file.(*vfs.Bytes)
	return ok
}

// take empties the fid and returns what must be closed, and what it has counted.
func (f *fid) take() (c closer, counted hold) {
	switch {
	case f.file != nil:
		c = f.file
	case f.dir != nil:
		c = f.dir
	}
	counted = f.hold
	*f = fid{num: f.num, last: f.last}
	return c, counted
}

type closer interface{ Close() error }
