package ninep

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// maxDepth is the most elements of a path that a client walks. With it an
// exchange has at most maxCalls calls.
const maxDepth = 6 * MaxWalk

// A root is one attach. Its fid is clunked when no node of it is in use any
// more, by way of the garbage collector: nodes need no closing.
type root struct {
	c   *Client
	fid uint32
}

// A node is an object of the server's tree: the path that leads to it and the
// ids of the objects on that path. It holds no fid; each method is an exchange
// of its own that walks from the root, and fails with ENOENT if it meets other
// ids: then the object that the node stood for is gone, and what has its name
// now is another.
type node struct {
	root   *root
	path   []string
	ids    []uint64 // of path's elements
	id     uint64
	typ    vfs.Type
	walked vfs.Attr
}

type (
	dirNode  struct{ node }
	fileNode struct{ node }
	linkNode struct{ node }
)

var (
	_ vfs.Dir        = (*dirNode)(nil)
	_ vfs.Previewer  = (*dirNode)(nil)
	_ vfs.PathOpener = (*dirNode)(nil)
	_ vfs.PathWalker = (*dirNode)(nil)
	_ vfs.File       = (*fileNode)(nil)
	_ RWOpener       = (*fileNode)(nil)
	_ vfs.Link       = (*linkNode)(nil)
)

func newNode(n node) vfs.Node {
	switch n.typ {
	case vfs.TypeDir:
		return &dirNode{n}
	case vfs.TypeLink:
		return &linkNode{n}
	}
	return &fileNode{n}
}

// Attach implements vfs.Tree. The server is told who.UID as n_uname and the
// groups as uname (see Speaking for users): it decides whether to believe that.
// An identity without a number is EACCES: to the server it would be the client's
// own. One with more groups than an attach has room for is E2BIG. The name of a
// certificate says nothing to another server, and is not sent.
func (c *Client) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	k, err := c.attachCall(who, aname)
	if err != nil {
		return nil, err
	}
	return c.attach(ctx, k)
}

// attachHead is what a Tattach has beside its two strings, in bytes.
const attachHead = headerSize + 4 + 4 + 2 + 2 + 4

func (c *Client) attachCall(who vfs.Identity, aname string) (call, error) {
	k := call{typ: tAttach, newfid: who.UID, aname: aname}
	if len(aname) > maxString {
		return k, syscall.ENOENT
	}
	if c.plain {
		if k.uname = c.cfg.Uname; !c.cfg.Own && !who.IsRoot() {
			return k, fmt.Errorf("attach for uid %d, whom 9P2000 cannot name: %w", who.UID, syscall.EACCES)
		}
		return k, nil
	}
	if c.cfg.Own {
		k.newfid = vfs.NoID
		return k, nil
	}
	if who.UID == vfs.NoID {
		return k, syscall.EACCES
	}
	if c.cfg.Foreign {
		return k, nil
	}
	var err error
	if k.uname, err = formatUname(who.GID, who.Groups); err != nil {
		return k, fmt.Errorf("attach for uid %d: %w", who.UID, err)
	}
	if n := attachHead + len(k.uname) + len(aname); n > int(c.msize) {
		return k, fmt.Errorf("attach for uid %d: its %d groups make a message of %d bytes, of which the server takes %d: %w",
			who.UID, len(who.Groups), n, c.msize, syscall.E2BIG)
	}
	return k, nil
}

func (c *Client) attach(ctx context.Context, message call) (vfs.Node, error) {
	ex := c.newExchange()
	ex.fid = c.newFid()
	message.fid = ex.fid
	k := ex.add(message)
	if err := ex.do(ctx); err != nil {
		return nil, err
	}
	if err := k.err; err != nil || k.qids[0].path == 0 {
		ex.release()
		if err == nil {
			err = syscall.EIO
		}
		return nil, err
	}
	q, r := k.qids[0], &root{c: c, fid: ex.fid}
	ex.recycle()
	runtime.AddCleanup(r, c.discardLater, r.fid)
	bare := vfs.Attr{ID: q.path, Mode: uint32(q.nodeType())}
	return newNode(node{root: r, id: q.path, typ: q.nodeType(), walked: bare}), nil
}

// ID implements vfs.Node: it is the path of the server's qid.
func (n *node) ID() uint64 { return n.id }

// Type implements vfs.Node.
func (n *node) Type() vfs.Type { return n.typ }

// Preview implements vfs.Previewer: it is what the attributes were when the node
// was walked to, for they came in the same exchange. A root has none but its ID
// and type.
func (n *node) Preview() vfs.Attr { return n.walked }

// Attr implements vfs.Node. It asks the server.
func (n *node) Attr(ctx context.Context) (vfs.Attr, error) {
	ex := n.root.c.newExchange()
	fid := n.root.fid
	if len(n.path) > 0 {
		if err := ex.walk(n, nil); err != nil {
			return vfs.Attr{}, err
		}
		fid = ex.fid
	}
	k := ex.add(call{typ: tGetattr, fid: fid})
	ex.clunk()
	if err := ex.do(ctx); err != nil {
		return vfs.Attr{}, err
	}
	_, err := ex.arrived(n, nil)
	if err == nil {
		err = k.err
	}
	if err == nil && (k.qids[0].path != n.id || k.qids[0].nodeType() != n.typ) {
		err = syscall.ENOENT
	}
	a := k.attr
	ex.release()
	if err != nil {
		return vfs.Attr{}, n.explain(ctx, nil, err)
	}
	return a, nil
}

// Walk implements vfs.Dir.
func (n *dirNode) Walk(ctx context.Context, name string) (vfs.Node, error) {
	child, _, err := n.WalkPath(ctx, name)
	return child, err
}

// WalkPath implements vfs.PathWalker.
func (n *dirNode) WalkPath(ctx context.Context, names ...string) (vfs.Node, []uint64, error) {
	ex := n.root.c.newExchange()
	if err := ex.walk(&n.node, names); err != nil {
		return nil, nil, err
	}
	attr := ex.add(call{typ: tGetattr, fid: ex.fid})
	ex.clunk()
	if err := ex.do(ctx); err != nil {
		return nil, nil, err
	}
	qids, err := ex.arrived(&n.node, names)
	if err == nil {
		err = attr.err
	}
	if err == nil && attr.attr.ID != qids[len(qids)-1].path {
		err = syscall.EIO // one fid, two objects
	}
	a := attr.attr
	ex.release()
	if err != nil {
		return nil, nil, n.explain(ctx, names, err)
	}
	last := qids[len(qids)-1]
	ids := idsOf(qids)
	return newNode(node{
		root: n.root, path: slices.Concat(n.path, names), ids: slices.Concat(n.ids, ids),
		id: last.path, typ: last.nodeType(), walked: a,
	}), ids, nil
}

// Readlink implements vfs.Link.
func (n *linkNode) Readlink(ctx context.Context) (string, error) {
	if n.root.c.plain { // it is a file
		h, _, err := n.open(ctx, nil)
		if err != nil {
			return "", err
		}
		defer h.Close()
		text, err := vfs.ReadAll(ctx, h, maxString)
		return string(text), err
	}
	ex := n.root.c.newExchange()
	if err := ex.walk(&n.node, nil); err != nil {
		return "", err
	}
	k := ex.add(call{typ: tReadlink, fid: ex.fid})
	ex.clunk()
	if err := ex.do(ctx); err != nil {
		return "", err
	}
	_, err := ex.arrived(&n.node, nil)
	if err == nil {
		err = k.err
	}
	text := k.text
	ex.release()
	return text, n.explain(ctx, nil, err)
}

func idsOf(qids []qid) []uint64 {
	ids := make([]uint64, len(qids))
	for i, q := range qids {
		ids[i] = q.path
	}
	return ids
}
