package ninep

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/wait"
)

// A stuckTree is a benchTree whose files are stuck while they are opened, which
// their requests can go on without.
type stuckTree struct {
	opening chan *reqCtx  // who has begun
	left    chan struct{} // one for each that was left
	free    chan struct{} // closed to let all go
	ended   chan bool     // for each: what Cover said
	late    *closeCounter // what the opened files are
}

type stuckDir struct {
	benchDir
	t *stuckTree
}

type stuckFile struct {
	benchFile
	t *stuckTree
}

type closeCounter struct{ closed chan struct{} }

func (closeCounter) ReadAt(context.Context, []byte, int64) (int, error) { return 0, nil }
func (c closeCounter) Close() error                                     { c.closed <- struct{}{}; return nil }

func newStuckTree() *stuckTree {
	return &stuckTree{
		opening: make(chan *reqCtx, 9), left: make(chan struct{}, 9), free: make(chan struct{}),
		ended: make(chan bool, 9), late: &closeCounter{make(chan struct{}, 9)},
	}
}

func (t *stuckTree) Attach(context.Context, vfs.Identity, string) (vfs.Node, error) {
	return &stuckDir{t: t}, nil
}

func (d *stuckDir) Walk(context.Context, string) (vfs.Node, error) { return &stuckFile{t: d.t}, nil }

func (f *stuckFile) Open(ctx context.Context) (vfs.Handle, error) {
	r := ctx.(*reqCtx)
	if !r.Expose(func() { f.t.left <- struct{}{} }) {
		return nil, syscall.EIO
	}
	f.t.opening <- r
	<-f.t.free
	f.t.ended <- r.Cover()
	return f.t.late, nil
}

// gone expects one call to have been left, and what it opens to be closed.
func (s *stuckTree) gone(t *testing.T) {
	t.Helper()
	close(s.free)
	for _, c := range []<-chan struct{}{s.left, s.late.closed} {
		select {
		case <-c:
		case <-time.After(patience):
			t.Fatal("it is not left and closed")
		}
	}
	if <-s.ended {
		t.Error("Cover does not tell")
	}
}

// TestLeave: a request goes on without its call, with those queued behind it.
// The reader may be the one that is stuck.
func TestLeave(t *testing.T) {
	for name, leave := range map[string]func(*talk, *reqCtx){
		"leave": func(_ *talk, r *reqCtx) { r.Leave(syscall.ETIMEDOUT) },
		"leave late": func(_ *talk, r *reqCtx) { // with another reader
			time.Sleep(5 * linger)
			r.Leave(syscall.ETIMEDOUT)
			r.Leave(syscall.EIO) // is nothing
		},
		"flush": func(c *talk, _ *reqCtx) { c.send(flush(9, 2)) },
	} {
		t.Run(name, func(t *testing.T) {
			tree := newStuckTree()
			rig := newRig(t, tree, nil)
			c := rig.talk(rig.dial()).hello(8192)
			c.send(walk(1, 0, 1, "f"), on(tLopen, 2, 1), on(tGetattr, 3, 1), on(tClunk, 4, 1))
			leave(c, <-tree.opening)
			c.expect(tWalk+1, 1)
			if name == "flush" {
				c.refused(2, syscall.EINTR)
				c.expect(tFlush+1, 9)
			} else {
				c.refused(2, syscall.ETIMEDOUT)
			}
			c.expect(tGetattr+1, 3)
			c.expect(tClunk+1, 4)
			c.send(walk(5, 0, 1))
			c.expect(tWalk+1, 5)
			tree.gone(t)
		})
	}
}

// TestLeaveHangUp: a connection ends although a call of it does not.
func TestLeaveHangUp(t *testing.T) {
	tree := newStuckTree()
	r := newRig(t, tree, nil)
	c := r.talk(r.dial()).hello(8192)
	c.send(walk(1, 0, 1, "f"), on(tLopen, 2, 1), on(tRead, 3, 1))
	<-tree.opening
	c.conn.Close()
	wait.Until(t, "the connection ends", func() bool { return r.conns.Load() == 0 })
	tree.gone(t)
}

// TestRelief: a reader that is held up by the request it carries out is relieved.
func TestRelief(t *testing.T) {
	tree := newStuckTree()
	r := newRig(t, tree, nil)
	c := r.talk(r.dial()).hello(8192)
	for fid := range uint32(5) { // each takes a reader with it
		tag := uint16(10 * fid)
		c.send(walk(tag+1, 0, fid+1, "f"), on(tLopen, tag+2, fid+1))
		<-tree.opening
		c.expect(tWalk+1, tag+1)
	}
	c.send(walk(99, 0, 9))
	c.expect(tWalk+1, 99)
	close(tree.free)
	for range 5 {
		if f := c.read(); f[4] != tLopen+1 {
			t.Errorf("an answer of type %d", f[4])
		}
		if !<-tree.ended {
			t.Error("one was left")
		}
	}
	c.conn.Close()
	wait.Until(t, "the connection ends", func() bool { return r.conns.Load() == 0 })
}
