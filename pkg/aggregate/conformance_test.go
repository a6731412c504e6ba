package aggregate

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
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

// A mount of a cluster shows what the cluster does, and its own native procfs.
func TestMountedRoot(t *testing.T) {
	c := newTestCluster(t, Config{}, "n1")
	pid := sleeper(t, 0)
	g := gpid0(pid)
	m := c.NewMount(Native{Path: "/aside"})
	defer m.Close()
	n, err := m.Attach(t.Context(), vfs.Root, "/sets/n1")
	if err != nil {
		t.Fatal(err)
	}
	root, here := n.(vfs.Dir), rootOf(t, c, vfs.Root, "")
	if all := names(t, root); !listed(all, g) || listed(all, strconv.Itoa(pid)) || !listed(all, "filesystems") {
		t.Errorf("listed is %v", all)
	}
	for _, file := range []string{"stat", "status", "cmdline", "environ", "maps"} {
		if a, b := read(t, root, g, file), read(t, here, g, file); a != b {
			t.Errorf("%s:\n%q\nthe cluster has\n%q", file, a, b)
		}
	}
	for path, want := range map[string]string{"self": "/aside/self", "sys/vm": "/aside/sys/vm", "users/root/self": "/aside/self"} {
		link, _, err := vfs.WalkPath(t.Context(), root, strings.Split(path, "/")...)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := link.(vfs.Link).Readlink(t.Context()); err != nil || text != want {
			t.Errorf("%s -> %q, %v", path, text, err)
		}
	}
	for _, aname := range []string{"snapshot", "snapshot/sets/n1"} {
		if _, err := m.Attach(t.Context(), vfs.Root, aname); vfs.Errno(err) != syscall.ENOENT {
			t.Errorf("a mount of %s: %v", aname, err)
		}
	}
}
