package aggregate

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/procsim"
)

// newMirror is a mirror of what is served at an address, for who, until the test ends.
func newMirror(t *testing.T, address string, who vfs.Identity, path string, nodes ...string) *Mirror {
	t.Helper()
	m, err := NewMirror(MirrorConfig{
		Dial: dialSocket(address), Address: address, Who: who, Path: path, Nodes: nodes, Policy: cachepolicy.Default().WithoutStale(),
		Timeouts: Timeouts{Connect: patience, Read: patience, Sweep: patience}, Proc: "/proc", Native: "/proc", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// simCluster serves a cluster of that many simulated nodes, n00 and so on, with these views.
func simCluster(t *testing.T, nodes, procs int, views ...access.View) (c *Cluster, sim *procsim.Cluster, address string) {
	t.Helper()
	var all []string
	cfg := Config{Head: NodeConfig{Name: "head", Dial: dialLeaf}, CgroupNode: true, Access: authority(views...), Policy: cachepolicy.Default()}
	for i := range nodes {
		all = append(all, fmt.Sprintf("n%02d", i))
	}
	sim, err := procsim.Serve(t.TempDir(), all, 1, procs, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	for _, name := range all {
		cfg.Nodes = append(cfg.Nodes, NodeConfig{Name: gpid.NodeName(name), Dial: dialSocket(sim.Address(name))})
	}
	c = startCluster(t, cfg)
	return c, sim, serveCluster(t, c)
}

// numbers are the numeric names of a root.
func numbers(t *testing.T, root vfs.Dir) (all []string) {
	t.Helper()
	for _, name := range names(t, root) {
		if _, ok := gpid.Parse(name); ok {
			all = append(all, name)
		}
	}
	return all
}

// simUser has processes on the simulated nodes.
const simUser = 1005

// elsewhere is the attach name of the tree for a reader on another machine, of any boot.
const elsewhere = "/reader/1700000000000000000,100,4096"

// A mirror has what the server shows to the same requester on another machine: the same processes, the
// same files with the same content and the same errors, and nothing else.
func TestMirror(t *testing.T) {
	const nodes, procs = 3, 60
	both := append(slices.Clone(anyone), access.Principal{Kind: access.User, Name: fmt.Sprint(simUser)})
	own, everything := ownEverywhere, everybodyEverywhere
	own.For, everything.For = both, both
	for name, as := range map[string]struct {
		who  vfs.Identity
		view access.View
	}{
		"root": {vfs.Root, everything}, "user": {uid(simUser), everything},
		"own": {uid(simUser), own}, "nobody": {uid(4999), own},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, address := simCluster(t, nodes, procs, as.view)
			m := newMirror(t, address, as.who, "")
			here, there := rootOf(t, m, as.who, ""), rootOf(t, c, as.who, elsewhere)
			var got []string
			for _, name := range numbers(t, here) {
				switch g, _ := gpid.Parse(name); {
				case g < gpid.Stride:
					t.Errorf("%s could be a process of this machine", name)
				case g < gpid.Elsewhere:
					got = append(got, name)
				}
			}
			want := slices.DeleteFunc(numbers(t, there), func(name string) bool { g, _ := gpid.Parse(name); return g > gpid.Elsewhere })
			if !slices.Equal(got, want) || name == "root" && len(got) != nodes*procs || name == "own" && (len(got) == 0 || len(got) > nodes*procs/2) {
				t.Fatalf("%d processes, and %d at the server:\n%v\n%v", len(got), len(want), got, want)
			}
			content := func(root vfs.Dir, path ...string) string {
				text, err := vfs.ReadFile(t.Context(), root, 1<<20, path...)
				if err != nil {
					return vfs.Errno(err).Error()
				}
				if path[len(path)-1] == "stat" { // whose start is of the reader's boot
					fields := strings.Fields(string(text))
					fields[len(fields)-52+21] = "START"
					return strings.Join(fields, " ")
				}
				return string(text)
			}
			for _, name := range got {
				for _, file := range []string{"stat", "status", "cmdline", "statm", "environ", "cgroup", "limits", "net/dev", "none"} {
					path := append([]string{name}, strings.Split(file, "/")...)
					if got, want := content(here, path...), content(there, path...); got != want {
						t.Errorf("%s/%s is %q at the mirror, and %q at the server", name, file, got, want)
					}
				}
			}
			for _, name := range []string{"1", "10000001", "20000001", "30000003", "n01:1", "n01:2", "2130000001", "99999999"} {
				if g, ok := gpid.Parse(name); ok && g < gpid.Stride {
					continue
				}
				if got, want := content(here, name, "status"), content(there, name, "status"); got != want {
					t.Errorf("%s is %q at the mirror, and %q at the server", name, got, want)
				}
			}
			for _, path := range []string{"nodes/n02/sys/kernel/hostname", "cluster/whoami", "nodes/n07/stat"} {
				names := strings.Split(path, "/")
				whole := rootOf(t, c, as.who, elsewhere)
				if got, want := content(here, names...), content(whole, names...); got != want {
					t.Errorf("%s is %q at the mirror, and %q at the server", path, got, want)
				}
			}
		})
	}
}

// One difference after the other makes what the whole would be, and a server that goes away is no
// empty listing.
func TestMirrorFollows(t *testing.T) {
	const nodes, procs = 2, 60
	_, sim, address := simCluster(t, nodes, procs, everybodyEverywhere)
	var conns conns
	m, err := NewMirror(MirrorConfig{
		Dial: conns.dial(dialSocket(address)), Who: vfs.Root, Policy: cachepolicy.Default().WithoutStale(),
		Timeouts: Timeouts{Connect: patience, Read: patience, Sweep: patience}, Proc: "/proc", Native: "/proc", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	root := rootOf(t, m, vfs.Root, "")
	for range 5 {
		sim.Churn(0.2)
		fresh := newMirror(t, address, vfs.Root, "/sets/n[00-01]", "n00", "n01")
		eventually(t, "two mirrors show the same", func() bool {
			whole := rootOf(t, fresh, vfs.Root, "/sets/n[00-01]")
			want, got := numbers(t, whole), slices.DeleteFunc(numbers(t, root), func(name string) bool { g, _ := gpid.Parse(name); return g > gpid.Elsewhere })
			return slices.Equal(got, want) && slices.IndexFunc(got, func(name string) bool {
				return read(t, walkDir(t, root, name), "status") != read(t, walkDir(t, whole, name), "status")
			}) < 0
		})
	}
	conns.cut()
	eventually(t, "there is no server", func() bool {
		h, err := root.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		all, err := h.ReadDir(t.Context(), 0, nil, 1000)
		if err == nil && !slices.ContainsFunc(all, func(e vfs.DirEntry) bool { g, ok := gpid.Parse(e.Name); return ok && g >= gpid.Stride }) {
			t.Fatal("it is listed as empty")
		}
		return vfs.Errno(err) == syscall.EHOSTDOWN
	})
	if _, err := vfs.ReadFile(t.Context(), root, 1<<20, "cluster", "nodes"); vfs.Errno(err) != syscall.EHOSTDOWN {
		t.Errorf("cluster/nodes without a server: %v", err)
	}
	conns.mend()
	eventually(t, "all is there again", func() bool {
		h, err := root.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		all, err := h.ReadDir(t.Context(), 0, nil, 1000)
		return err == nil && len(all) > nodes*procs
	})
}

// conns are connections that can be cut.
type conns struct {
	mu   sync.Mutex
	down bool
	open []Upstream
}

func (c *conns) dial(dial Dialer) Dialer {
	return func(ctx context.Context) (Upstream, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.down {
			return nil, syscall.ECONNREFUSED
		}
		up, err := dial(ctx)
		if err == nil {
			c.open = append(c.open, up)
		}
		return up, err
	}
}

func (c *conns) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = true
	for _, up := range c.open {
		up.Close()
	}
}

func (c *conns) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = false
}

// A hostileServer has one node, whose snapshots tell of processes of the reader's machine.
type hostileServer struct{ t *testing.T }

func (hostileServer) Done() <-chan struct{} { return nil }
func (hostileServer) Err() error            { return nil }
func (hostileServer) Close() error          { return nil }

// Attach implements vfs.Tree.
func (s hostileServer) Attach(_ context.Context, _ vfs.Identity, aname string) (vfs.Node, error) {
	base := synthetic.Base{}
	if strings.HasPrefix(aname, "snapshot/reader/") && strings.HasSuffix(aname, "/sets/n1") {
		return snapshot.NewDir(base.Attr(7, vfs.TypeDir), slog.New(slog.DiscardHandler), s.answer), nil
	}
	sets := base.Dir(8, func(context.Context, string) (vfs.Node, error) { return nil, syscall.ENOENT },
		func(context.Context) ([]vfs.DirEntry, error) {
			return []vfs.DirEntry{synthetic.Entry(8, "n1", vfs.TypeDir)}, nil
		})
	where := base.Dir(10, func(_ context.Context, name string) (vfs.Node, error) {
		return base.File(11, func(context.Context) ([]byte, error) {
			return report.EncodeWhere(report.Where{Node: "n1", PID: 7, GPID: 7}), nil
		}), nil
	}, nil)
	return base.Dir(9, func(_ context.Context, name string) (vfs.Node, error) {
		switch name {
		case "sets":
			return sets, nil
		case "cluster":
			return base.Dir(12, func(context.Context, string) (vfs.Node, error) { return where, nil }, nil), nil
		}
		return nil, syscall.ENOENT
	}, nil), nil
}

func (hostileServer) answer(_ context.Context, req snapshot.Request) ([]byte, error) {
	var b snapshot.Builder
	b.Reset(nil, snapshot.Facts{BootID: "b", BootTime: time.Now(), Hz: 100, PageSize: 4096, PIDMax: gpid.Max, PIDGID: vfs.NoID}, req.Files)
	for _, pid := range []int32{7, gpid.MaxPID, gpid.Stride - 1, gpid.Stride + 7, gpid.Stride + 8} {
		b.Begin(snapshot.Proc{PID: pid, ID: uint64(pid), Mode: uint32(vfs.TypeDir) | 0o555})
		for _, name := range req.Files {
			switch {
			case name == "stat" && pid == gpid.Stride+8:
				b.Add([]byte("7 (x) S\n"))
			case name == "stat":
				b.Add([]byte(strings.Replace(statText(int(pid), 4, int(pid), gpid.MaxPID, 'S', 7), fmt.Sprintf("(p%d)", pid), "(x)", 1)))
			default:
				b.Fail(syscall.ENOENT)
			}
		}
	}
	t, err := b.Table()
	if err != nil {
		return nil, err
	}
	return t.Answer(req, 0), nil
}

// A hostile server cannot have a process of this machine named: numbers that could be one are none,
// in listings and in files.
func TestMirrorOfHostileServer(t *testing.T) {
	m, err := NewMirror(MirrorConfig{
		Dial: func(context.Context) (Upstream, error) { return hostileServer{t}, nil }, Who: vfs.Root, Policy: cachepolicy.Default().WithoutStale(),
		Timeouts: Timeouts{Connect: patience, Read: patience, Sweep: patience}, Proc: "/proc", Native: "/proc", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	root := rootOf(t, m, vfs.Root, "")
	if got := numbers(t, root); !slices.Equal(got, []string{"10000007", "10000008"}) {
		t.Errorf("it shows %v", got)
	}
	// Whose the number is it notes behind the listing, and asks the server until then, which lies.
	var got []byte
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if got, err = vfs.ReadFile(t.Context(), root, 1<<20, "10000007", "stat"); err == nil {
			break
		}
	}
	if !strings.HasPrefix(string(got), "10000007 (x) S 0 10000007 0 ") {
		t.Errorf("stat is %q, %v", got, err)
	}
	for _, name := range []string{"7", "4194304", "9999999", "n1:7"} {
		if _, err := vfs.ReadFile(t.Context(), root, 1<<20, name, "stat"); err == nil {
			t.Errorf("%s can be read", name)
		}
	}
	if _, err := vfs.ReadFile(t.Context(), root, 1<<20, "10000008", "stat"); vfs.Errno(err) != syscall.EIO {
		t.Errorf("a stat that makes no sense: %v", err)
	}
}
