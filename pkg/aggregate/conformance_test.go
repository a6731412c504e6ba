package aggregate

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// moving are the files of a process that does nothing which change all the same.
var moving = map[string]bool{
	"sched": true, "schedstat": true, "smaps": true, "smaps_rollup": true, "numa_maps": true, "arch_status": true, "mountstats": true, "status": true,
}

// TestConformance runs the suite for trees over a process of another node and
// what is around it in the merged tree.
func TestConformance(t *testing.T) {
	quiet := exec.Command("sleep", "1000")
	if err := quiet.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { quiet.Process.Kill(); quiet.Wait() }()
	if err := quiet.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(quiet.Process.Pid)
	g := gpid0(quiet.Process.Pid)
	c := newTestCluster(t, Config{}, "n1")
	ours := func(p string) bool { return p == g || strings.HasPrefix(p, g+"/") }
	vfstest.TestTree(t, vfstest.Options{
		Tree: c, Who: vfs.Root, MaxEntries: 700,
		Skip: func(p string) bool {
			first, _, _ := strings.Cut(p, "/")
			process := first[0] >= '0' && first[0] <= '9'
			return process && !ours(p) || strings.Contains(p, "/net/") || strings.Contains(p, "/task/") ||
				p == "nodes/head" || p == "nodes/n1" || strings.HasPrefix(p, "sets/") || strings.HasPrefix(p, "users/") ||
				strings.HasPrefix(p, "sys/")
		},
		Moving: func(p string) bool { return !ours(p) || moving[filepath.Base(p)] || strings.HasPrefix(p, g+"/net") },
		MayFail: func(p string) bool {
			_, err := os.ReadFile("/proc/" + pid + strings.TrimPrefix(p, g))
			return !ours(p) || err != nil
		},
		// A process has two names.
		Same:     func(a, b string) bool { return strings.Contains(a, ":") || strings.Contains(b, ":") },
		Unlisted: []string{"n1:" + pid, "sets/head,n1", "users/root", "cluster/where/" + g},
	})
}

func gpid0(pid int) string { return fmt.Sprint(gpid.Stride + pid) }

// newMirror is root's mirror of what a connection leads to.
func newMirror(t *testing.T, p *cachepolicy.Policy, up Upstream) *Mirror {
	t.Helper()
	m, err := NewMirror(Config{
		Head:   NodeConfig{Name: "server", Dial: func(context.Context) (Upstream, error) { return up, nil }},
		Policy: p, Native: "/aside",
	}, vfs.Root, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if err := m.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

// A mirror of a cluster conforms too, and shows the same processes.
func TestMirror(t *testing.T) {
	c := newTestCluster(t, Config{}, "n1")
	m := newMirror(t, c.store.Policy(), &clusterUpstream{c})
	pid := sleeper(t, 0)
	g := gpid0(pid)
	root := rootOf(t, m, vfs.Root, "")
	if all := names(t, root); !listed(all, g) || !listed(all, strconv.Itoa(pid)) || !listed(all, "filesystems") {
		t.Errorf("listed is %v", all)
	}
	here := rootOf(t, c, vfs.Root, "")
	for _, file := range []string{"stat", "status", "cmdline", "environ", "maps"} {
		if a, b := read(t, root, g, file), read(t, here, g, file); a != b {
			t.Errorf("%s:\n%q\nthe cluster has\n%q", file, a, b)
		}
	}
	if text := read(t, root, "cluster", "nodes"); !strings.Contains(text, "n1") {
		t.Errorf("cluster/nodes: %q", text)
	}
	link, err := root.Walk(t.Context(), "self")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := link.(vfs.Link).Readlink(t.Context()); err != nil || text != "/aside/self" {
		t.Errorf("self -> %q, %v", text, err)
	}
	if _, err := m.Attach(t.Context(), vfs.Identity{UID: 7}, ""); vfs.Errno(err) != syscall.EACCES {
		t.Errorf("somebody else's attach: %v", err)
	}
}

// clusterUpstream is a cluster as the upstream of a mirror.
type clusterUpstream struct{ *Cluster }

func (*clusterUpstream) Done() <-chan struct{} { return nil }
func (*clusterUpstream) Err() error            { return nil }
func (*clusterUpstream) Close() error          { return nil }
