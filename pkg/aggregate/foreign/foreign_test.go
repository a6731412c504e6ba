package foreign_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/aggregate/foreign"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

var quiet = slog.New(slog.DiscardHandler)

// patience is how long anything may take. Nothing here is about time, and the machine may be
// busy and have thousands of processes.
const patience = 50 * time.Second

// upstream is a foreign leaf over a connection of its own.
type upstream struct {
	*foreign.Leaf
	client *ninep.Client
}

func (u upstream) Done() <-chan struct{} { return u.client.Done() }
func (u upstream) Err() error            { return u.client.Err() }
func (u upstream) Close() error          { return u.client.Close() }

// serve serves a tree to clients of the dialect and returns what dials it.
func serve(t *testing.T, tree vfs.Tree, dialect string) aggregate.Dialer {
	t.Helper()
	l, err := net.Listen("unix", t.TempDir()+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	root := func(ninep.Peer, ninep.Claim) (vfs.Identity, error) { return vfs.Root, nil }
	go func() {
		done <- ninep.NewServer(ninep.ServerConfig{Tree: tree, Identify: root, Log: quiet}).Serve(ctx, l)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func(ctx context.Context) (aggregate.Upstream, error) {
		conn, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			return nil, err
		}
		client, err := ninep.NewClient(ctx, conn, ninep.ClientConfig{Dialect: dialect, Foreign: true, Log: quiet})
		if err != nil {
			return nil, err
		}
		return upstream{foreign.New(client, foreign.Config{Log: quiet}, "boot"), client}, nil
	}
}

// procfs is this machine's /proc as a tree, without snapshots as far as the client
// asks.
func procfs(t *testing.T) *procfs9p.Leaf {
	t.Helper()
	leaf, err := procfs9p.New(procfs9p.Config{Log: quiet, ReadTimeout: patience, SweepTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { leaf.Close() })
	return leaf
}

// few is a /proc that lists these processes and no others: how many there are on this machine
// decides how long a sweep takes, process by process.
type few struct {
	vfs.Tree
	pids []string
}

func (f few) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	n, err := f.Tree.Attach(ctx, who, aname)
	if dir, ok := n.(vfs.Dir); ok && err == nil {
		return fewDir{dir, f.pids}, nil
	}
	return n, err
}

type fewDir struct {
	vfs.Dir
	pids []string
}

func (d fewDir) List(ctx context.Context) (vfs.DirHandle, error) {
	h, err := d.Dir.List(ctx)
	return fewEntries{h, d.pids}, err
}

type fewEntries struct {
	vfs.DirHandle
	pids []string
}

func (h fewEntries) ReadDir(ctx context.Context, offset uint64, dst []vfs.DirEntry, most int) ([]vfs.DirEntry, error) {
	for {
		all, err := h.DirHandle.ReadDir(ctx, offset, nil, most)
		if err != nil || len(all) == 0 {
			return dst, err
		}
		offset = all[len(all)-1].Next
		all = slices.DeleteFunc(all, func(e vfs.DirEntry) bool {
			_, err := strconv.Atoi(e.Name)
			return err == nil && !slices.Contains(h.pids, e.Name)
		})
		if len(all) > 0 {
			return append(dst, all...), nil
		}
	}
}

type head struct{ *procfs9p.Leaf }

func (head) Done() <-chan struct{} { return nil }
func (head) Err() error            { return nil }
func (head) Close() error          { return nil }

// cluster is the head and one foreign node, n1. All users see everything by the
// views.
func cluster(t *testing.T, dial aggregate.Dialer) *aggregate.Cluster {
	t.Helper()
	gpids, err := gpid.Open(t.TempDir()+"/state", gpid.Fixed, []gpid.NodeName{"n1"})
	if err != nil {
		t.Fatal(err)
	}
	own := procfs(t)
	all := access.Rules{Views: []access.View{{For: []access.Principal{{Kind: access.Anyone}}, Nodes: access.Nodes{All: true}, Processes: access.Processes{All: true}}}}
	c, err := aggregate.New(aggregate.Config{
		Head:     aggregate.NodeConfig{Name: "head", Dial: func(context.Context) (aggregate.Upstream, error) { return head{own}, nil }},
		Nodes:    []aggregate.NodeConfig{{Name: "n1", Dial: dial}},
		GPIDs:    gpids,
		Timeouts: aggregate.Timeouts{Connect: patience, Read: patience, Sweep: patience},
		Policy:   cachepolicy.Sweep(time.Second),
		Access:   access.New(all, userdb.New(userdb.Config{}), nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c.Ready(ctx)
	return c
}

func attach(t *testing.T, tree vfs.Tree, who vfs.Identity) vfs.Dir {
	t.Helper()
	n, err := tree.Attach(t.Context(), who, "")
	if err != nil {
		t.Fatal(err)
	}
	return n.(vfs.Dir)
}

func list(t *testing.T, dir vfs.Dir) map[string]bool {
	t.Helper()
	h, err := dir.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	entries, err := h.ReadDir(t.Context(), 0, nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, e := range entries {
		names[e.Name] = true
	}
	return names
}

func read(dir vfs.Dir, path string) (string, error) {
	h, _, err := vfs.OpenPath(context.Background(), dir, strings.Split(path, "/")...)
	if err != nil {
		return "", err
	}
	defer h.Close()
	b, err := vfs.ReadAll(context.Background(), h, 1<<20)
	return string(b), err
}

// A /proc of Linux behind either dialect is merged as a procsrv's is.
func TestLinux(t *testing.T) {
	sleep := exec.Command("sleep", "1000")
	sleep.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1001, Gid: 1002}}
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sleep.Process.Kill(); sleep.Wait() })
	pid := sleep.Process.Pid
	g := strconv.Itoa(10_000_000 + pid)
	for _, dialect := range []string{"9P2000", "9P2000.L"} {
		t.Run(dialect, func(t *testing.T) {
			c := cluster(t, serve(t, few{procfs(t), []string{"1", strconv.Itoa(pid)}}, dialect))
			root := attach(t, c, vfs.Root)
			names := list(t, root)
			merged := 0
			for name := range names {
				if n, _ := strconv.Atoi(name); n > 10_000_000 {
					merged++
				}
			}
			if merged != 2 {
				t.Errorf("%d processes of the node, want two", merged)
			}
			if !names[g] || !names["10000001"] || !names[strconv.Itoa(pid)] {
				t.Errorf("%s, 10000001 and %d are not all in %d names", g, pid, len(names))
			}
			for path, want := range map[string]string{
				g + "/cmdline":                         "sleep\x001000\x00",
				g + "/comm":                            "sleep\n",
				"n1:" + strconv.Itoa(pid) + "/cmdline": "sleep\x001000\x00",
			} {
				if got, err := read(root, path); err != nil || got != want {
					t.Errorf("%s: %q, %v", path, got, err)
				}
			}
			status, err := read(root, g+"/status")
			if err != nil || !strings.Contains(status, "\nPid:\t"+g+"\n") {
				t.Errorf("status: %q, %v", status, err)
			}
			n, err := root.Walk(t.Context(), g)
			if err != nil {
				t.Fatal(err)
			}
			if a, err := n.Attr(t.Context()); err != nil || a.UID != 1001 || a.GID != 1002 {
				t.Errorf("owner %d:%d, %v", a.UID, a.GID, err)
			}
			native, err := os.ReadFile("/proc/version")
			if got, e := read(root, "nodes/n1/version"); err != nil || e != nil || got != string(native) {
				t.Errorf("nodes/n1/version: %q, %v", got, e)
			}

			// Nobody but root gets anything, though the view grants all.
			user := attach(t, c, vfs.Identity{UID: 1001, GID: 1002})
			for name := range list(t, user) {
				if n, _ := strconv.Atoi(name); n > 10_000_000 {
					t.Errorf("a user sees %s", name)
				}
			}
			for _, path := range []string{g + "/status", g + "/cmdline", "nodes/n1/version", "nodes/n1/1/status"} {
				if got, err := read(user, path); err == nil {
					t.Errorf("a user reads %s: %q", path, got)
				}
			}
		})
	}
}

// A server whose files are not Linux's is seen below nodes/ and nowhere else.
func TestPlan9(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("1/status", vfstest.File{Data: []byte("init            bootes          Await  0 0 0\n")})
	tree.Put("1/ns", vfstest.File{Data: []byte("bind / /\n")})
	tree.Put("trace", vfstest.File{})
	c := cluster(t, serve(t, tree, "9P2000"))
	root := attach(t, c, vfs.Root)
	if list(t, root)["10000001"] {
		t.Error("process 1 is merged")
	}
	if got, err := read(root, "nodes/n1/1/status"); err != nil || !strings.HasPrefix(got, "init  ") {
		t.Errorf("nodes/n1/1/status: %q, %v", got, err)
	}
	n, _, err := vfs.WalkPath(t.Context(), root, "nodes", "n1")
	if err != nil {
		t.Fatal(err)
	}
	if names := list(t, n.(vfs.Dir)); !names["1"] || !names["trace"] {
		t.Errorf("nodes/n1 has %v", names)
	}
}

// What lies is left out.
func TestLies(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("version", vfstest.File{Data: []byte("Linux version 6.1 (x)\n")})
	tree.Put("stat", vfstest.File{Data: []byte("cpu 1\nbtime 99999999999999999999\n")})
	stat := " (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 100 0 0\n"
	tree.Put("7/stat", vfstest.File{Data: []byte("7" + stat)})
	tree.Put("8/stat", vfstest.File{Data: []byte("7" + stat)})
	tree.Put("9/stat", vfstest.File{Data: []byte("no stat")})
	tree.Put("11/stat", vfstest.File{Data: make([]byte, 1<<20)})
	tree.Put("012/stat", vfstest.File{Data: []byte("12" + stat)})
	tree.Put("99999999999/stat", vfstest.File{Data: []byte("99999999999" + stat)})
	c := cluster(t, serve(t, tree, "9P2000"))
	names := list(t, attach(t, c, vfs.Root))
	for name := range names {
		if n, _ := strconv.Atoi(name); n > 10_000_000 && n != 10_000_007 && n != 10_000_011 {
			t.Errorf("%s is a process", name)
		}
	}
	if !names["10000007"] {
		t.Error("10000007 is none")
	}
}
