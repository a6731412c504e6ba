package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/cluster/control"
	"github.com/aggrfs/aggrfs/test/wait"
	"go.uber.org/goleak"
)

// starterVariable makes this program start a cluster below the directory it
// names and wait to be killed.
const starterVariable = "CLUSTER_TEST_STARTER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(starterVariable); dir != "" {
		c, err := cluster.Start(context.Background(), cluster.Options{Nodes: 2, ProcsrvPath: os.Getenv("PROCSRV"), Dir: dir})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("up", c.Nodes[0].InitPID, c.Nodes[1].InitPID)
		select {}
	}
	goleak.VerifyTestMain(m)
}

// procsrv builds the leaf.
func procsrv(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "procsrv")
	build := exec.Command("go", "build", "-o", path, "github.com/aggrfs/aggrfs/cmd/procsrv")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // it runs where there are no libraries
	out, err := build.CombinedOutput()
	if err != nil {
		t.Fatal(err, string(out))
	}
	return path
}

func startCluster(t *testing.T, o cluster.Options) *cluster.Cluster {
	t.Helper()
	o.ProcsrvPath = procsrv(t)
	c, err := cluster.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// run runs a command on a node and returns its output.
func run(t *testing.T, n *cluster.Node, argv ...string) string {
	t.Helper()
	out, err := n.Command(t.Context(), argv...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s on %s: %v: %s", argv, n.Name, err, out)
	}
	return string(out)
}

func TestNodes(t *testing.T) {
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	c := startCluster(t, cluster.Options{Nodes: 3})
	uptimes := map[float64]bool{}
	for _, n := range c.Nodes {
		if got := strings.TrimSpace(run(t, n, "hostname")); got != n.Name {
			t.Errorf("%s calls itself %q", n.Name, got)
		}
		var up float64
		fmt.Sscan(run(t, n, "cat", "/proc/uptime"), &up)
		uptimes[float64(int(up/3600))] = true
		ps := run(t, n, "ps", "-eo", "pid,ppid,uid,args")
		for _, want := range []string{"nodeinit", "procsrv --listen", fmt.Sprint(cluster.Alice), fmt.Sprint(cluster.Bob), "job of alice on " + n.Name, "solver --user bob --node " + n.Name, "sleep 100002"} {
			if !strings.Contains(ps, want) {
				t.Errorf("%s: no %q in\n%s", n.Name, want, ps)
			}
		}
		for _, not := range []string{"kthreadd", "cluster.test"} {
			if strings.Contains(ps, not) {
				t.Errorf("%s shows a process of the host's:\n%s", n.Name, ps)
			}
		}
		if threads := run(t, n, "ps", "-eLo", "comm"); strings.Count(threads, "solver/") != 4 {
			t.Errorf("%s: threads:\n%s", n.Name, threads)
		}
		if names := run(t, n, "sh", "-c", "cat /proc/[0-9]*/comm"); !strings.Contains(names, control.NastyName) {
			t.Errorf("%s has no nasty name: %q", n.Name, names)
		}
		if _, err := os.Stat(filepath.Join(n.Root, "proc/1")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the procfs of %s is mounted on the host: %v", n.Name, err)
		}
		if pid, err := n.HostPID(1); err != nil || pid != n.InitPID {
			t.Errorf("%s: init is %d, %v; want %d", n.Name, pid, err, n.InitPID)
		}
	}
	if len(uptimes) != 3 {
		t.Errorf("nodes were booted at the same time: %v", uptimes)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	after, _ := os.ReadFile("/proc/self/mountinfo")
	if strings.Contains(string(after), c.Dir) || strings.Contains(string(before), c.Dir) {
		t.Errorf("mounts of the nodes are on the host:\n%s", after)
	}
	for _, n := range c.Nodes {
		if _, err := os.Stat("/proc/" + strconv.Itoa(n.InitPID)); err == nil {
			t.Errorf("the init of %s is still there", n.Name)
		}
	}
	if _, err := os.Stat(c.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", c.Dir, err)
	}
}

func TestLeaf(t *testing.T) {
	c := startCluster(t, cluster.Options{Nodes: 1, Workload: func(string) []cluster.Process { return nil }})
	n := c.Nodes[0]
	first := n.LeafPID()
	state := func() string {
		return strings.TrimSpace(run(t, n, "ps", "-o", "state=", "-p", strconv.Itoa(n.LeafPID())))
	}
	if err := n.Pause(); err != nil {
		t.Error(err)
	}
	wait.Until(t, "it is paused", func() bool { return state() == "T" })
	if err := n.Resume(); err != nil {
		t.Error(err)
	}
	wait.Until(t, "it is resumed", func() bool { return state() != "T" })
	if err := n.StartLeaf(); err == nil {
		t.Error("a second procsrv was started")
	}
	for range 3 {
		if err := n.KillLeaf(); err != nil || n.LeafPID() != 0 {
			t.Fatalf("killed: %v, process %d", err, n.LeafPID())
		}
		if err := n.KillLeaf(); err == nil {
			t.Error("killed twice")
		}
		if err := n.StartLeaf(); err != nil || n.LeafPID() == first {
			t.Fatalf("started: %v, process %d", err, n.LeafPID())
		}
	}
	pid, err := n.Spawn(cluster.Process{UID: cluster.Bob, GID: cluster.Bob, Argv: []string{"sleep", "400000"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := run(t, n, "ps", "-o", "uid=,args=", "-p", strconv.Itoa(pid)); strings.TrimSpace(got) != "1002 sleep 400000" {
		t.Errorf("spawned %q", got)
	}
	if err := n.Signal(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if _, err := n.HostPID(pid); err == nil {
		t.Error("a killed process is still there")
	}
	if _, err := n.Spawn(cluster.Process{Argv: []string{"no-such-program"}}); err == nil {
		t.Error("what does not exist was started")
	}
}

func TestMany(t *testing.T) {
	c := startCluster(t, cluster.Options{Nodes: 1, Many: 300})
	if got := strings.Count(run(t, c.Nodes[0], "ps", "-eo", "args"), "worker "); got != 300 {
		t.Errorf("%d processes", got)
	}
}

func TestFailedStartLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	for name, o := range map[string]cluster.Options{
		"no procsrv":    {Nodes: 2, ProcsrvPath: filepath.Join(dir, "missing"), Dir: dir},
		"not a program": {Nodes: 2, ProcsrvPath: "/etc/passwd", Dir: dir},
		"its workload": {Nodes: 2, ProcsrvPath: procsrv(t), Dir: dir, Workload: func(string) []cluster.Process {
			return []cluster.Process{{Argv: []string{"no-such-program"}}}
		}},
	} {
		c, err := cluster.Start(t.Context(), o)
		if err == nil {
			t.Errorf("%s: started", name)
			c.Close()
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "aggrfs-nodes-*")); len(left) != 0 {
			t.Errorf("%s: %v stayed; %v", name, left, err)
		}
	}
}

// Nodes end with the process that started them.
func TestStarterKilled(t *testing.T) {
	starter := exec.Command("/proc/self/exe")
	starter.Env = append(os.Environ(), starterVariable+"="+t.TempDir(), "PROCSRV="+procsrv(t))
	out, err := starter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	var pids [2]int
	if _, err := fmt.Fscanf(out, "up %d %d\n", &pids[0], &pids[1]); err != nil {
		t.Error(err)
	}
	starter.Process.Kill()
	starter.Wait()
	for _, pid := range pids {
		wait.Until(t, fmt.Sprintf("the init %d of a node ends with its starter", pid), func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH })
	}
}
