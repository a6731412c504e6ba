package ninep

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(attacherVariable); addr != "" {
		os.Exit(attacher(addr))
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must come, long enough for a busy
// machine.
const patience = wait.Patience

// logLines collects what is logged at Warn and above.
type logLines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logLines) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSuffix(l.buf.String(), "\n"), "\n")[:strings.Count(l.buf.String(), "\n")]
}

// all is a logger of every line.
func (l *logLines) all() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newLog() (*logLines, *slog.Logger) {
	l := new(logLines)
	return l, slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// believe takes n_uname for the identity, with the group of that number.
func believe(_ Peer, c Claim) (vfs.Identity, error) {
	return vfs.Identity{UID: c.NUname, GID: c.NUname}, nil
}

// A rig is a server under test and what it logged.
type rig struct {
	*Server
	t    testing.TB
	log  *logLines
	ctx  context.Context
	addr Addr
}

// newRig serves tree on a unix socket until the test ends; then nothing may be
// left open in a vfstest tree, nor may the contract have been broken.
func newRig(t testing.TB, tree vfs.Tree, change func(*ServerConfig)) *rig {
	t.Helper()
	lines, log := newLog()
	cfg := ServerConfig{Tree: tree, Identify: believe, Log: log}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &rig{Server: NewServer(cfg), t: t, log: lines, ctx: ctx}
	r.addr = Addr{"unix", filepath.Join(t.TempDir(), "9p.sock")}
	l, err := Listen(ctx, r.addr, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		if err := r.Serve(ctx, l); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		work.Wait()
		if vt, ok := tree.(*vfstest.Tree); ok {
			if n := vt.Handles(); n != 0 {
				t.Errorf("%d handles left open", n)
			}
			for _, v := range vt.Violations() {
				t.Errorf("the tree's contract: %s", v)
			}
		}
	})
	return r
}

// lines are those that were logged, what waits for the audit's window with them.
func (r *rig) lines() []string {
	r.audit.turn()
	return r.log.lines()
}

func (r *rig) dial() net.Conn {
	r.t.Helper()
	conn, err := Dial(r.ctx, r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

// pipe is the client's end of a net.Pipe that is served.
func (r *rig) pipe() net.Conn {
	near, far := net.Pipe()
	var work sync.WaitGroup
	work.Go(func() { r.ServeConn(r.ctx, far) })
	r.t.Cleanup(func() {
		near.Close()
		work.Wait()
	})
	return near
}

func (r *rig) client(conn net.Conn, cfg ClientConfig) *Client {
	r.t.Helper()
	if cfg.Log == nil {
		_, cfg.Log = newLog()
	}
	c, err := NewClient(r.ctx, conn, cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// rootOf attaches as root.
func rootOf(t testing.TB, c *Client) vfs.Dir {
	t.Helper()
	n, err := c.Attach(within(t), vfs.Root, "")
	if err != nil {
		t.Fatal(err)
	}
	return n.(vfs.Dir)
}

// within is a context that ends when the test's patience does.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}
