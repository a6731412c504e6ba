package ninep

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
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

// idle waits until the client has nothing under way, and holds that many fids.
func idle(t *testing.T, c *Client, fids int) {
	t.Helper()
	all := int64(c.cfg.InFlight)
	wait.Until(t, "the client is idle", func() bool {
		if !c.slots.TryAcquire(all) {
			return false
		}
		defer c.slots.Release(all)
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.tags) == len(c.calls) && len(c.garbage) == 0 && int(c.nextFid)-len(c.fids) == fids
	})
}

func TestCancel(t *testing.T) {
	for _, foreign := range []bool{false, true} {
		t.Run(fmt.Sprint("foreign ", foreign), func(t *testing.T) {
			tree := sample(16)
			r := newRig(t, tree, nil)
			c := r.client(r.dial(), ClientConfig{Foreign: foreign})
			dir := rootOf(t, c)
			var calls sync.WaitGroup
			for i := range 100 {
				calls.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%10)*time.Millisecond)
					defer cancel()
					for ctx.Err() == nil {
						h, _, err := vfs.OpenPath(ctx, dir, "stuck")
						if err == nil || vfs.Errno(err) != syscall.ETIMEDOUT {
							t.Errorf("a stuck file: %v", err)
						}
						if err == nil {
							h.Close()
						}
					}
				})
				calls.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%10)*time.Millisecond)
					defer cancel()
					for _, name := range []string{"large", "rpc", "largestream", "1"} {
						if n, err := dir.Walk(ctx, name); err == nil {
							use(ctx, n)
						}
					}
				})
			}
			calls.Wait()
			idle(t, c, 1) // that of the root
			wait.Until(t, "nothing is open", func() bool { return tree.Handles() == 0 })
			if data, err := vfs.ReadFile(within(t), dir, 100, "1", "stat"); err != nil || len(data) == 0 {
				t.Errorf("afterwards: %q, %v", data, err)
			}
		})
	}
}

// use does what can be done with n.
func use(ctx context.Context, n vfs.Node) {
	switch n := n.(type) {
	case vfs.Dir:
		if d, err := n.List(ctx); err == nil {
			d.ReadDir(ctx, 0, nil, 10)
			d.Close()
		}
	case vfs.File:
		if h, err := OpenRW(ctx, n); err == nil {
			h.(vfs.Writer).WriteAt(ctx, []byte("hello"), 0)
			h.ReadAt(ctx, make([]byte, 100), 0)
			h.Close()
		}
		if h, err := n.Open(ctx); err == nil {
			h.ReadAt(ctx, make([]byte, 100_000), 5)
			h.Close()
		}
	}
}

// TestPreview: the attributes come with the walk.
func TestPreview(t *testing.T) {
	tree := sample(16)
	tree.Put("owned", vfstest.File{Stat: vfstest.Stat{UID: 7, GID: 8, Perm: 0o400}, Data: []byte("12345")})
	r := newRig(t, tree, nil)
	dir, ctx := rootOf(t, r.client(r.dial(), ClientConfig{})), within(t)
	if a := dir.(vfs.Previewer).Preview(); a.ID != dir.ID() || a.Type() != vfs.TypeDir {
		t.Errorf("of the root: %+v", a)
	}
	n, err := dir.Walk(ctx, "owned")
	if err != nil {
		t.Fatal(err)
	}
	calls := tree.Calls()
	a := n.(vfs.Previewer).Preview()
	if a.UID != 7 || a.GID != 8 || a.Mode != 0o100400 || a.Size != 5 || a.ID != n.ID() || tree.Calls() != calls {
		t.Errorf("%+v", a)
	}
}

func TestRPC(t *testing.T) {
	r := newRig(t, sample(16), nil)
	c := r.client(r.dial(), ClientConfig{Msize: 1024})
	dir, ctx := rootOf(t, c), within(t)
	request := strings.Repeat("hello ", 1000)
	n, err := dir.Walk(ctx, "rpc")
	if err != nil {
		t.Fatal(err)
	}
	h, err := OpenRW(ctx, n)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if n, err := h.(vfs.Writer).WriteAt(ctx, []byte(request), 0); n != len(request) || err != nil {
		t.Fatal(n, err)
	}
	if got, err := vfs.ReadAll(ctx, h, 1<<20); err != nil || string(got) != "you said "+request {
		t.Errorf("answer %q, %v", got, err)
	}
	for name, want := range map[string]error{"1": syscall.EISDIR, "self": syscall.ELOOP, "empty": syscall.EISDIR, "large": syscall.EROFS} {
		n, err := dir.Walk(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenRW(ctx, n); err != want {
			t.Errorf("OpenRW %s: %v, want %v", name, err, want)
		}
	}
	if h, err := dir.Walk(ctx, "large"); err != nil {
		t.Error(err)
	} else if h, err := h.(vfs.File).Open(ctx); err != nil {
		t.Error(err)
	} else if _, ok := h.(vfs.Writer); ok {
		t.Error("a handle for reading is a Writer")
	}
}

// TestExactErrors: a walk that ends on the way tells no reason; the client
// finds it.
func TestExactErrors(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("a/b/c/d", vfstest.File{})
	tree.Before(func(_ context.Context, op vfstest.Op, path string) error {
		if op == vfstest.OpWalk && path == "a/b/c" {
			return syscall.EACCES
		}
		return nil
	})
	r := newRig(t, tree, nil)
	dir, ctx := rootOf(t, r.client(r.dial(), ClientConfig{})), within(t)
	if _, _, err := vfs.WalkPath(ctx, dir, "a", "b", "c", "d"); err != syscall.EACCES {
		t.Errorf("WalkPath: %v", err)
	}
	if _, _, err := vfs.OpenPath(ctx, dir, "a", "b", "c", "d"); err != syscall.EACCES {
		t.Errorf("OpenPath: %v", err)
	}
	if _, _, err := vfs.OpenPath(ctx, dir, "a", "b"); err != syscall.EISDIR {
		t.Errorf("OpenPath of a directory: %v", err)
	}
	if _, _, err := vfs.OpenPath(ctx, dir, "a", "x", "y"); vfs.Errno(err) != syscall.ENOENT {
		t.Errorf("OpenPath of nothing: %v", err)
	}
	if _, _, err := vfs.WalkPath(ctx, dir, strings.Split(strings.Repeat("a/", maxDepth)+"a", "/")...); err != syscall.ENAMETOOLONG {
		t.Errorf("WalkPath too deep: %v", err)
	}
}

func TestDeep(t *testing.T) {
	tree := vfstest.NewTree()
	path := strings.TrimSuffix(strings.Repeat("a/", maxDepth-1), "/") + "/f"
	tree.Put(path, vfstest.File{Data: []byte("deep")})
	r := newRig(t, tree, nil)
	c := r.client(r.dial(), ClientConfig{})
	dir, ctx := rootOf(t, c), within(t)
	names := strings.Split(path, "/")
	if data, err := vfs.ReadFile(ctx, dir, 10, names...); err != nil || string(data) != "deep" {
		t.Errorf("%q, %v", data, err)
	}
	n, ids, err := vfs.WalkPath(ctx, dir, names[:40]...)
	if err != nil || len(ids) != 40 {
		t.Fatal(ids, err)
	}
	if data, err := vfs.ReadFile(ctx, n.(vfs.Dir), 10, names[40:]...); err != nil || string(data) != "deep" {
		t.Errorf("%q, %v", data, err)
	}
	idle(t, c, 1)
}

// TestRootsAreReleased shows that an attach nobody uses any more is clunked.
func TestRootsAreReleased(t *testing.T) {
	r := newRig(t, sample(16), nil)
	c := r.client(r.dial(), ClientConfig{})
	keep := rootOf(t, c)
	for range 100 {
		rootOf(t, c)
	}
	wait.Until(t, "the other roots are released", func() bool {
		runtime.GC()
		if _, err := keep.Attr(within(t)); err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return int(c.nextFid)-len(c.fids) <= 3
	})
	runtime.KeepAlive(keep)
}

// TestServerGone shows that a call in progress ends when the server does.
func TestServerGone(t *testing.T) {
	tree := sample(16)
	ctx, cancel := context.WithCancel(context.Background())
	s := NewServer(ServerConfig{Tree: tree, Identify: believe})
	near, far := net.Pipe()
	var work sync.WaitGroup
	work.Go(func() {
		if err := s.ServeConn(ctx, far); err != nil {
			t.Errorf("ServeConn: %v", err)
		}
	})
	lines, log := newLog()
	c, err := NewClient(ctx, near, ClientConfig{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	dir := rootOf(t, c)
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, _, err := vfs.OpenPath(within(t), dir, "stuck"); vfs.Errno(err) != syscall.EIO && vfs.Errno(err) != syscall.EINTR {
		t.Errorf("OpenPath: %v", err)
	}
	<-c.Done()
	work.Wait()
	c.Close()
	c.Close()
	if len(lines.lines()) > 0 {
		t.Errorf("logged: %q", lines.lines())
	}
}

// TestSilentServer shows that a server that takes nothing any more delays no
// call beyond its context, and is given up in the end.
func TestSilentServer(t *testing.T) {
	tree := sample(16)
	r := newRig(t, tree, nil)
	proxy := newProxy(t, r.dial())
	lines, log := newLog()
	c := r.client(proxy, ClientConfig{Log: log, Write: 3 * time.Second, Flush: 3 * time.Second})
	dir := rootOf(t, c)
	proxy.stop.Store(true)
	start := time.Now()
	var calls sync.WaitGroup
	for range 1000 {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			_, err := dir.Walk(ctx, strings.Repeat("x", 200))
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Walk: %v", err)
			}
		})
	}
	calls.Wait()
	if d := time.Since(start); d > 2500*time.Millisecond {
		t.Errorf("the calls took %v", d)
	}
	<-c.Done()
	if n := len(lines.lines()); n != 1 {
		t.Errorf("logged: %q", lines.lines())
	}
}

// A proxy is a connection whose writes can be stopped: they then block until
// their deadline.
type proxy struct {
	net.Conn
	stop     atomic.Bool
	deadline atomic.Value
}

func newProxy(t *testing.T, conn net.Conn) *proxy { return &proxy{Conn: conn} }

func (p *proxy) SetWriteDeadline(d time.Time) error {
	p.deadline.Store(d)
	return p.Conn.SetWriteDeadline(d)
}

func (p *proxy) Write(b []byte) (int, error) {
	if p.stop.Load() {
		d, _ := p.deadline.Load().(time.Time)
		time.Sleep(time.Until(d))
		return 0, errors.New("the write's time is up")
	}
	return p.Conn.Write(b)
}
