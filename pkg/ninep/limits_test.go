package ninep

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
)

func TestLimits(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("f", vfstest.File{Data: make([]byte, 600)})
	r := newRig(t, tree, func(cfg *ServerConfig) {
		cfg.Limits = Limits{Fids: 4, OpenBytes: 1000, Connections: 2}
	})
	c := r.talk(r.dial()).hello(8192)
	c.send(walk(1, 0, 1, "f"), on(tLopen, 2, 1))
	c.expect(tWalk+1, 1)
	c.expect(tLopen+1, 2)
	c.send(walk(1, 0, 2, "f"), on(tLopen, 2, 2))
	c.expect(tWalk+1, 1)
	c.refused(2, syscall.EMFILE)
	c.send(walk(1, 0, 3))
	c.expect(tWalk+1, 1)
	c.send(walk(1, 0, 4))
	c.refused(1, syscall.EMFILE)
	c.send(on(tClunk, 1, 1))
	c.expect(tClunk+1, 1)
	c.send(walk(1, 0, 4), on(tLopen, 2, 2))
	c.expect(tWalk+1, 1)
	c.expect(tLopen+1, 2)

	r.talk(r.dial()).hello(8192) // others are not concerned
	r.talk(r.dial()).ended()
	wait.Until(t, "it is logged", func() bool { return len(r.lines()) == 1 })
}

// TestManyInFlight sends more than may be in flight: the server takes its time
// and forgets none.
func TestManyInFlight(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("f", vfstest.File{Read: func(context.Context, vfs.Identity) ([]byte, error) {
		time.Sleep(time.Millisecond)
		return []byte("x"), nil
	}})
	var most, now atomic.Int32
	tree.Before(func(_ context.Context, op vfstest.Op, _ string) error {
		if op == vfstest.OpOpen {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			defer now.Add(-1)
			time.Sleep(100 * time.Microsecond)
		}
		return nil
	})
	r := newRig(t, tree, func(cfg *ServerConfig) { cfg.Limits.Requests = 8 })
	dir := rootOf(t, r.client(r.dial(), ClientConfig{}))
	var calls sync.WaitGroup
	for range 300 {
		calls.Go(func() {
			if data, err := vfs.ReadFile(within(t), dir, 10, "f"); err != nil || string(data) != "x" {
				t.Errorf("%q, %v", data, err)
			}
		})
	}
	calls.Wait()
	if m := most.Load(); m > 8 {
		t.Errorf("%d at once", m)
	}
}

// TestDeadline shows that a request ends at its deadline, and is answered even
// if the tree does not notice.
func TestDeadline(t *testing.T) {
	tree := sample(16)
	free := make(chan struct{})
	tree.Put("deaf", vfstest.File{Read: func(context.Context, vfs.Identity) ([]byte, error) {
		<-free
		return []byte("x"), nil
	}})
	r := newRig(t, tree, func(cfg *ServerConfig) { cfg.RequestTimeout = 300 * time.Millisecond })
	c := r.talk(r.dial()).hello(8192)
	c.send(walk(1, 0, 1, "stuck"), on(tLopen, 2, 1))
	c.expect(tWalk+1, 1)
	c.refused(2, syscall.ETIMEDOUT)
	c.send(walk(1, 0, 2, "deaf"), on(tLopen, 2, 2))
	c.expect(tWalk+1, 1)
	c.refused(2, syscall.ETIMEDOUT)
	close(free)
	wait.Until(t, "what came too late is closed", func() bool { return tree.Handles() == 0 })
	c.send(on(tRead, 3, 2))
	c.refused(3, syscall.EBADF)
}

func TestPanic(t *testing.T) {
	tree := sample(16)
	tree.Before(func(_ context.Context, op vfstest.Op, path string) error {
		if op == vfstest.OpAttr && path == "1" {
			panic("on purpose")
		}
		return nil
	})
	r := newRig(t, tree, nil)
	c := r.talk(r.dial()).hello(8192)
	c.send(walk(1, 0, 1, "1"), on(tGetattr, 2, 1), on(tClunk, 3, 1))
	c.expect(tWalk+1, 1)
	c.refused(2, syscall.EIO)
	c.expect(tClunk+1, 3)
	if lines := r.lines(); len(lines) != 1 || !strings.Contains(lines[0], "limits_test.go") {
		t.Errorf("logged: %q", lines)
	}
	if n := r.Stats().Panics; n != 1 {
		t.Errorf("%d panics are counted", n)
	}
}

// TestUnreadAnswers shows that a client that does not read is dropped.
func TestUnreadAnswers(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("f", vfstest.File{Data: make([]byte, 1<<20)})
	r := newRig(t, tree, func(cfg *ServerConfig) { cfg.Limits.Write = 100 * time.Millisecond })
	c := r.talk(r.dial()).hello(MaxMsize)
	c.send(walk(1, 0, 1, "f"), on(tLopen, 2, 1))
	c.expect(tWalk+1, 1)
	c.expect(tLopen+1, 2)
	for i := range 20 {
		k := call{typ: tRead, tag: uint16(10 + i), fid: 1, count: MaxMsize}
		if _, err := c.conn.Write(appendCall(nil, &k)); err != nil {
			break
		}
	}
	wait.Until(t, "it is dropped", func() bool { return r.conns.Load() == 0 })
	wait.Until(t, "it is logged", func() bool { return len(r.lines()) == 1 })
}

// TestIdentities: one connection, a tree for each user.
func TestIdentities(t *testing.T) {
	tree := sample(16)
	tree.Allow(func(who vfs.Identity) error {
		if who.UID == 13 {
			return syscall.EACCES
		}
		return nil
	})
	r := newRig(t, tree, func(cfg *ServerConfig) { cfg.Identify = ByCredentials })
	c := r.client(r.dial(), ClientConfig{})
	for _, uid := range []uint32{0, 1001, 4242} {
		n, err := c.Attach(within(t), vfs.Identity{UID: uid}, "")
		if err != nil {
			t.Fatal(err)
		}
		data, err := vfs.ReadFile(within(t), n.(vfs.Dir), 100, "who")
		if want := fmt.Sprintf("uid %d\n", uid); err != nil || string(data) != want {
			t.Errorf("%q, %v, want %q", data, err, want)
		}
	}
	if _, err := c.Attach(within(t), vfs.Identity{UID: 13}, ""); err != syscall.EACCES {
		t.Errorf("one who may not: %v", err)
	}
	if _, err := c.Attach(within(t), vfs.Identity{UID: vfs.OverflowID}, ""); err != syscall.EPERM {
		t.Errorf("the overflow id: %v", err)
	}
	if _, err := c.Attach(within(t), vfs.Identity{UID: vfs.NoID}, ""); err != syscall.EACCES {
		t.Errorf("an identity without a number: %v", err)
	}
	if lines := r.lines(); len(lines) != 2 {
		t.Errorf("logged: %q", lines)
	}
}
