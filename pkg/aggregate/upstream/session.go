package upstream

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/aggrfs/aggrfs/internal/control"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Conn is an open connection to a node: a tree that can end.
type Conn interface {
	vfs.Tree
	// Done is closed once the connection has ended.
	Done() <-chan struct{}
	// Err says why it ended, after Done.
	Err() error
	Close() error
}

// A Dialer opens the connection to a node. It returns soon after ctx ends.
type Dialer func(ctx context.Context) (Conn, error)

// A Session is one connection to a node: what was attached by it, and its open rpc file. A
// connection that is made anew is another session, of perhaps another leaf, kernel or boot.
// A nil Session is one that has ended.
type Session struct {
	conn  atomic.Pointer[Conn] // nil once the session has ended: its tables may stay for long
	done  <-chan struct{}      // closed once the connection has ended, noticed or not
	roots *lru.Cache[attach, vfs.Dir]
	rpc   chan snapshot.RPC // the file that is kept open from one exchange to the next, if any
	alone atomic.Bool       // there is nothing at ReadAheadTree
}

// An attach is what is attached to, and as whom (vfs.Identity.Key).
type attach struct{ tree, who string }

// maxRoots bounds the attaches that one session remembers.
const maxRoots = 4096

func newSession(conn Conn) *Session {
	roots, err := lru.New[attach, vfs.Dir](maxRoots)
	if err != nil {
		panic(err) // it fails for sizes below 1 only
	}
	s := &Session{done: conn.Done(), roots: roots, rpc: make(chan snapshot.RPC, 1)}
	s.conn.Store(&conn)
	return s
}

// Live reports whether this is the node's connection now.
func (s *Session) Live() bool { return s != nil && s.conn.Load() != nil }

// ended reports whether the connection has ended, noticed or not.
func (s *Session) ended() bool {
	if s == nil {
		return false // there was none to end
	}
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// end closes the connection. Its end is that of the rpc file, too.
func (s *Session) end() {
	conn := *s.conn.Swap(nil)
	s.roots.Purge()
	conn.Close()
}

// root is the root of a tree of the node's for an identity, attached to if need be.
func (s *Session) root(ctx context.Context, who vfs.Identity, tree string) (vfs.Dir, error) {
	key := attach{tree, who.Key()}
	if dir, ok := s.roots.Get(key); ok {
		return dir, nil
	}
	conn := s.conn.Load()
	if conn == nil {
		return nil, fmt.Errorf("the connection has ended: %w", syscall.EHOSTDOWN)
	}
	root, err := (*conn).Attach(ctx, who, tree)
	if err != nil {
		return nil, err
	}
	dir, ok := root.(vfs.Dir)
	if !ok {
		return nil, fmt.Errorf("what is attached to is no directory: %w", syscall.EIO)
	}
	s.roots.Add(key, dir)
	return dir, nil
}

// takeRPC returns the rpc file that was kept open, or opens it. dir is the root of the
// snapshots.
func (s *Session) takeRPC(ctx context.Context, dir vfs.Dir) (snapshot.RPC, error) {
	select {
	case h := <-s.rpc:
		return h, nil
	default:
		return openRPC(ctx, dir, snapshot.SweepFile)
	}
}

// giveRPC keeps the rpc file open for the next exchange. One is enough: an exchange that
// found it taken has opened another.
func (s *Session) giveRPC(h snapshot.RPC) {
	select {
	case s.rpc <- h:
	default:
		h.Close()
	}
}

// SnapshotTree is the attach name of the snapshots of a leaf; before another attach name it
// is that of the snapshots of that tree.
const SnapshotTree = "snapshot"

// NodeTree is the attach name, at a front end, of the tree of one of its nodes.
func NodeTree(name gpid.NodeName) string { return "/nodes/" + string(name) }

// Snapshot makes one exchange for a snapshot, as the node's reader, and returns the session
// that the answer came by. base is what was known of the same files by session of: the
// answer to that session may be a difference. Both may be nil. known are
// the figures that came last, for a request that wants them.
func (n *Node) Snapshot(req snapshot.Request, base *snapshot.Table, of *Session, known HeldFigures, limits snapshot.Limits) (t *snapshot.Table, by *Session, err error) {
	// Its time begins when there is a connection to ask by.
	if err := n.AwaitTried(n.ctx); err != nil {
		return nil, nil, err
	}
	err = n.exchange(n.ctx, n.Reader, SnapshotTree+n.Tree, func(ctx context.Context, s *Session, dir vfs.Dir) error {
		h, err := s.takeRPC(ctx, dir)
		if err != nil {
			return err
		}
		if s != of {
			base = nil // it may be another leaf, or another boot
		}
		if t, err = snapshot.FetchWith(ctx, h, req, base, known.of(s), limits); err != nil {
			h.Close()
			return err
		}
		s.giveRPC(h)
		by = s
		return nil
	})
	return t, by, err
}

// HeldFigures are figures of a node and the session that they came by. The zero value is none.
type HeldFigures struct {
	*snapshot.Figures
	By *Session
}

// of are the figures if an answer by session s may be the difference to them.
func (h HeldFigures) of(s *Session) *snapshot.Figures {
	if h.By != s {
		return nil // it may be another leaf, or another boot
	}
	return h.Figures
}

// Figures makes one exchange for the node's figures alone, as its reader. The node must be one
// that understands that, see snapshot.Facts.
func (n *Node) Figures(maxAge time.Duration, known HeldFigures, limits snapshot.Limits) (f HeldFigures, err error) {
	err = n.exchange(n.ctx, n.Reader, SnapshotTree+n.Tree, func(ctx context.Context, s *Session, dir vfs.Dir) error {
		h, err := s.takeRPC(ctx, dir)
		if err != nil {
			return err
		}
		got, err := snapshot.FetchFigures(ctx, h, maxAge, known.of(s), limits)
		if err != nil {
			h.Close()
			return err
		}
		s.giveRPC(h)
		f = HeldFigures{got, s}
		return nil
	})
	return f, err
}

// ReadAheadTree is the attach name, at a leaf, of what SnapshotAs asks.
const ReadAheadTree = "readahead"

// SnapshotAs makes one exchange for files of all processes as who reads them, by their rights on
// the node and with the errors that they get. errors.ErrUnsupported is that the node has no such
// answers: it is another front end, no procsrv, or an older one.
func (n *Node) SnapshotAs(who vfs.Identity, req snapshot.Request, limits snapshot.Limits) (t *snapshot.Table, by *Session, err error) {
	s, asked := n.Session(), false
	if s != nil && s.alone.Load() {
		return nil, nil, errors.ErrUnsupported
	}
	err = n.exchange(n.ctx, who, ReadAheadTree+n.Tree, func(ctx context.Context, s *Session, dir vfs.Dir) error {
		h, err := openRPC(ctx, dir, snapshot.SweepFile)
		if err != nil {
			return err
		}
		defer h.Close()
		asked, by = true, s
		t, err = snapshot.Fetch(ctx, h, req, nil, limits)
		return err
	})
	if no := vfs.Errno(err); s != nil && !asked && (no == syscall.ENOENT || no == syscall.EACCES) {
		s.alone.Store(true)
		return nil, nil, fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return t, by, err
}

// Control makes one exchange for actions on processes of the node, as who; see package control.
// errors.ErrUnsupported is that the node lets nobody act, or knows no actions. Whether something
// was done is not known after any other error.
func (n *Node) Control(ctx context.Context, who vfs.Identity, batch []byte) (answer []byte, err error) {
	attached := false
	err = n.exchange(ctx, who, control.Tree+n.Tree, func(ctx context.Context, _ *Session, dir vfs.Dir) error {
		h, err := openRPC(ctx, dir, control.File)
		if err != nil {
			return err
		}
		defer h.Close()
		attached = true
		answer, err = askWhole(ctx, h, batch)
		return err
	})
	if no := vfs.Errno(err); !attached && (no == syscall.ENOENT || no == syscall.EACCES || no == syscall.EROFS) {
		return nil, fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return answer, err
}

// askWhole writes a request and reads the answer to its end.
func askWhole(ctx context.Context, h snapshot.RPC, request []byte) ([]byte, error) {
	buf := make([]byte, 16<<10)
	n, err := snapshot.Ask(ctx, h, request, buf)
	for err == nil && n == len(buf) {
		if n >= control.MaxAnswer {
			return nil, syscall.EFBIG
		}
		buf = append(buf, make([]byte, n)...)
		var m int
		m, err = h.ReadAt(ctx, buf[n:], int64(n))
		n += m
	}
	return buf[:n], err
}

// A writeOpener is a file that must be told when it is opened for writing too.
// A 9P client's are; in-process files return a handle that takes writes anyway.
type writeOpener interface {
	OpenRW(ctx context.Context) (vfs.Handle, error)
}

// openRPC opens the rpc file of that name.
func openRPC(ctx context.Context, dir vfs.Dir, name string) (snapshot.RPC, error) {
	file, err := dir.Walk(ctx, name)
	if err != nil {
		return nil, err
	}
	var h vfs.Handle
	switch f := file.(type) {
	case writeOpener:
		h, err = f.OpenRW(ctx)
	case vfs.File:
		h, err = f.Open(ctx)
	default:
		err = syscall.EISDIR
	}
	if err != nil {
		return nil, err
	}
	rpc, ok := h.(snapshot.RPC)
	if !ok {
		h.Close()
		return nil, syscall.EROFS
	}
	return rpc, nil
}
