package aggregate

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/procpath"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// authority knows these views and the machine's users.
func authority(views ...access.View) *access.Authority {
	return access.New(access.Rules{Views: views}, userdb.New(userdb.Config{}), nil)
}

var (
	// anyone is every user of the machine's user database, and one who need not be there.
	anyone              = []access.Principal{{Kind: access.Anyone}, {Kind: access.User, Name: "4000"}}
	everybodyEverywhere = access.View{For: anyone, Nodes: access.Nodes{All: true}, Processes: access.Processes{All: true}}

	ownEverywhere = access.View{For: anyone, Nodes: access.Nodes{All: true}, Processes: access.Processes{Own: true}}
)

func nodesOf(names ...string) access.Nodes { return access.Nodes{Set: nodeset.Of(names...)} }

func uid(n uint32) vfs.Identity { return vfs.Identity{UID: n, GID: n} }

// absent fails the test unless the path does not exist.
func absent(t *testing.T, root vfs.Dir, path ...string) {
	t.Helper()
	if _, _, err := vfs.WalkPath(t.Context(), root, path...); vfs.Errno(err) != syscall.ENOENT {
		t.Errorf("%v: %v, want that it does not exist", path, err)
	}
}

// A view has its nodes and no others, in every place where a node shows.
func TestViewOfNodes(t *testing.T) {
	c := newTestCluster(t, Config{Access: authority(
		access.View{For: []access.Principal{{Kind: access.User, Name: "1"}}, Nodes: nodesOf("n1", "n2"), Processes: access.Processes{All: true}, Place: "here:7"},
	)}, "n1", "n2", "n3")
	pid := sleeper(t, 2)
	g := func(index int) string { return strconv.Itoa(index*gpid.Stride + pid) }
	root := rootOf(t, c, uid(1), "")
	all := names(t, root)
	for i, want := range []bool{false, true, true, false} {
		if slices.Contains(all, g(i)) != want {
			t.Errorf("%s is listed: %v", g(i), !want)
		}
	}
	for _, path := range [][]string{
		{g(0)}, {g(3)}, {"n3:" + strconv.Itoa(pid)}, {"head:" + strconv.Itoa(pid)}, {"nodes", "n3"}, {"nodes", "head"},
		{"sets", "n3"}, {"sets", "n[1-3]"}, {"cluster", "where", g(3)}, {"cluster", "where", "n3:1"},
	} {
		absent(t, root, path...)
	}
	for _, dir := range []string{"nodes", "sets"} {
		if got := names(t, walkDir(t, root, dir)); !slices.Equal(got, []string{"n1", "n2"}) {
			t.Errorf("%s lists %v", dir, got)
		}
	}
	if table := read(t, root, "cluster", "nodes"); strings.Contains(table, "n3") || strings.Contains(table, "head") || !strings.Contains(table, "n2") {
		t.Errorf("cluster/nodes:\n%s", table)
	}
	if who := read(t, root, "cluster", "whoami"); !strings.Contains(who, "here:7") || !strings.Contains(who, "2: n[1-2]") {
		t.Errorf("cluster/whoami:\n%s", who)
	}
	if n := strings.Count(read(t, root, "cpuinfo"), "processor"); n != 2 {
		t.Errorf("cpuinfo has %d nodes", n)
	}
	total := func(root vfs.Dir) (kB int) {
		f := strings.Fields(read(t, root, "meminfo"))
		kB, _ = strconv.Atoi(f[1])
		return kB
	}
	if two, four := total(root), total(rootOf(t, c, vfs.Root, "")); two == 0 || 2*two != four {
		t.Errorf("MemTotal: %d of the two, %d of all four", two, four)
	}
	for _, who := range []vfs.Identity{uid(2), {UID: vfs.OverflowID, GID: vfs.OverflowID}, {UID: vfs.OverflowID, GID: vfs.OverflowID, Cert: "1"}} {
		if got := names(t, rootOf(t, c, who, "")); slices.ContainsFunc(got, func(n string) bool { return n[0] >= '0' && n[0] <= '9' }) {
			t.Errorf("%v, who has no view, sees %v", who, got)
		}
	}
	for _, aname := range []string{"/sets/n3", "/users/2/sets/n3", "/sets/n1/sets/n2", "/timens/x", "/timens/-1", "/timens/99999999999", "/nowhere/x", "snapshot/sets/n3"} {
		if _, err := c.Attach(t.Context(), uid(1), aname); err == nil {
			t.Errorf("attach %s succeeds", aname)
		}
	}
}

// What a view denies does not exist, by whatever way it is gone to.
func TestDeniedFiles(t *testing.T) {
	var deny []*procpath.Pattern
	for _, p := range []string{"<pid>/{environ,cmdline}", "<pid>/{fd,net}", "vmstat", "**/oom_score"} {
		compiled, err := procpath.Compile(p)
		if err != nil {
			t.Fatal(err)
		}
		deny = append(deny, compiled)
	}
	c := newTestCluster(t, Config{Access: authority(access.View{For: anyone, Nodes: access.Nodes{All: true}, Processes: access.Processes{All: true}, Deny: deny})}, "n1")
	pid := sleeper(t, 1)
	root := rootOf(t, c, uid(1), "")
	for _, dir := range [][]string{{strconv.Itoa(gpid.Stride + pid)}, {"nodes", "n1", strconv.Itoa(pid)}, {"n1:" + strconv.Itoa(pid)}} {
		for _, name := range []string{"environ", "cmdline", "fd", "oom_score"} {
			absent(t, root, append(dir, name)...)
		}
		absent(t, root, append(dir, "fd", "0")...)
		tid := dir[len(dir)-1]
		if strings.Contains(tid, ":") {
			tid = strconv.Itoa(gpid.Stride + pid)
		}
		task := append(slices.Clip(dir), "task", tid)
		listed := names(t, walkDir(t, root, task...))
		for _, name := range []string{"oom_score", "net", "fd", "environ"} {
			absent(t, root, append(task, name)...)
			if slices.Contains(listed, name) {
				t.Errorf("%v lists %s", task, name)
			}
		}
		absent(t, root, append(task, "net", "tcp")...)
		got := names(t, walkDir(t, root, dir...))
		if slices.Contains(got, "environ") || slices.Contains(got, "fd") || !slices.Contains(got, "status") {
			t.Errorf("%v lists %v", dir, got)
		}
	}
	// root, who is denied nothing, has its lines of cluster/ps kept first.
	if text := read(t, rootOf(t, c, vfs.Root, ""), "cluster", "ps"); !strings.Contains(text, "sleep 1000") {
		t.Errorf("cluster/ps shows root\n%s", text)
	}
	if text := read(t, root, "cluster", "ps"); strings.Contains(text, "sleep 1000") || !strings.Contains(text, "[sleep]") {
		t.Errorf("cluster/ps shows arguments that are denied:\n%s", text)
	}
	absent(t, root, "vmstat")
	absent(t, root, "nodes", "n1", "vmstat")
	if slices.Contains(names(t, root), "vmstat") || slices.Contains(names(t, walkDir(t, root, "nodes", "n1")), "vmstat") {
		t.Error("vmstat is listed")
	}
}

// When an allocation ends its nodes are gone at the next request, from what is
// attached, walked and listed already, too.
func TestAllocationEnds(t *testing.T) {
	a := authority(access.View{For: anyone, Nodes: access.Nodes{Allocated: true}, Processes: access.Processes{Own: true}})
	a.SetAllocations([]access.Allocation{{User: "1", Nodes: nodeset.Of("n1")}, {User: "1", Nodes: nodeset.Of("n2")}})
	c := newTestCluster(t, Config{Access: a}, "n1", "n2")
	pid := sleeper(t, 1)
	one, two := strconv.Itoa(gpid.Stride+pid), strconv.Itoa(2*gpid.Stride+pid)
	root := rootOf(t, c, uid(1), "")
	both := rootOf(t, c, uid(1), "/sets/n[1-2]")
	process, node := walkDir(t, root, two), walkDir(t, root, "nodes", "n2")
	status, _, err := vfs.WalkPath(t.Context(), process, "status")
	environ, _, err2 := vfs.WalkPath(t.Context(), process, "environ")
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	if got := names(t, both); !slices.Contains(got, one) || !slices.Contains(got, two) {
		t.Fatalf("at first there is %v", got)
	}
	a.SetAllocations([]access.Allocation{{User: "1", Nodes: nodeset.Of("n1")}})
	for _, r := range []vfs.Dir{root, both} {
		if got := names(t, r); !slices.Contains(got, one) || slices.Contains(got, two) {
			t.Errorf("after the end there is %v", got)
		}
	}
	absent(t, root, two)
	absent(t, root, "nodes", "n2")
	for what, f := range map[string]func() error{
		"attributes of the process":   func() error { _, err := process.Attr(t.Context()); return err },
		"attributes of the node":      func() error { _, err := node.Attr(t.Context()); return err },
		"a walk in the process":       func() error { _, err := process.Walk(t.Context(), "stat"); return err },
		"a walk in the node":          func() error { _, err := node.Walk(t.Context(), "meminfo"); return err },
		"attributes of status":        func() error { _, err := status.Attr(t.Context()); return err },
		"an open of status":           func() error { _, err := status.(vfs.File).Open(t.Context()); return err },
		"an open of environ":          func() error { _, err := environ.(vfs.File).Open(t.Context()); return err },
		"a listing of the process":    func() error { return list(t.Context(), process) },
		"a listing of the node":       func() error { return list(t.Context(), node) },
		"an attach to the set of n2":  func() error { _, err := c.Attach(t.Context(), uid(1), "/sets/n2"); return err },
		"an attach to both, snapshot": func() error { _, err := c.Attach(t.Context(), uid(1), "snapshot/sets/n[1-2]"); return err },
	} {
		if err := f(); vfs.Errno(err) != syscall.ENOENT {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func list(ctx context.Context, d vfs.Dir) error {
	h, err := d.List(ctx)
	if err != nil {
		return err
	}
	defer h.Close()
	_, err = h.ReadDir(ctx, 0, nil, 10)
	return err
}

// Counts of processes are of those that the view has.
func TestLimitedCounts(t *testing.T) {
	c := newTestCluster(t, Config{Access: authority(ownEverywhere)}, "n1")
	sleeper(t, 1)
	root := rootOf(t, c, uid(1), "/sets/n1")
	own := 0
	for _, name := range names(t, root) {
		if name[0] >= '1' && name[0] <= '9' {
			own++
		}
	}
	for _, dir := range [][]string{nil, {"nodes", "n1"}} {
		load := strings.Fields(read(t, root, append(slices.Clone(dir), "loadavg")...))
		if len(load) != 5 || load[3] != "0/"+strconv.Itoa(own) || load[4] != "0" {
			t.Errorf("%v/loadavg: %v, with %d own sleeping processes", dir, load, own)
		}
		if stat := read(t, root, append(slices.Clone(dir), "stat")...); !strings.Contains(stat, "\nprocesses "+strconv.Itoa(own)+"\n") || !strings.Contains(stat, "\nprocs_running 0\n") {
			t.Errorf("%v/stat with %d own processes:\n%s", dir, own, stat)
		}
	}
}

// A reader whose clock is ahead has the start times of processes that are older
// than the machine's boot, and a boot time that fits.
func TestTimeNamespace(t *testing.T) {
	c := newTestCluster(t, Config{}, "n1")
	pid := strconv.Itoa(gpid.Stride + sleeper(t, 0))
	plain, ahead := rootOf(t, c, vfs.Root, ""), rootOf(t, c, vfs.Root, "/timens/1000/sets/n1")
	start := func(root vfs.Dir) int {
		f := strings.Fields(read(t, root, pid, "stat"))
		n, _ := strconv.Atoi(f[21])
		return n
	}
	if a, b := start(plain), start(ahead); b-a != 1000*userHz {
		t.Errorf("started at %d, and at %d for a clock that is 1000 s ahead", a, b)
	}
	btime := func(root vfs.Dir) int {
		_, line, _ := strings.Cut(read(t, root, "stat"), "\nbtime ")
		n, _ := strconv.Atoi(strings.Fields(line)[0])
		return n
	}
	if a, b := btime(plain), btime(ahead); a-b != 1000 {
		t.Errorf("booted at %d, and at %d for a clock that is 1000 s ahead", a, b)
	}
}

// Roots nest to a depth and no further: each level holds memory.
func TestRootsNestToADepth(t *testing.T) {
	c := newTestCluster(t, Config{}, "n1")
	root := rootOf(t, c, vfs.Root, "")
	path := []string{"sets", "n1", "users", "root", "sets", "n1", "users", "0"}
	walkDir(t, root, path...)
	absent(t, root, append(path, "sets", "n1")...)
	absent(t, root, append(path, "users", "root")...)
}

// A process that its node says has ended is gone as a whole, however good the
// table still is.
func TestEndedProcess(t *testing.T) {
	c := newTestCluster(t, Config{Policy: cachepolicy.Sweep(time.Hour)}, "n1")
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g := strconv.Itoa(gpid.Stride + cmd.Process.Pid)
	root := rootOf(t, c, vfs.Root, "")
	names(t, root)
	dir := walkDir(t, root, g)
	read(t, dir, "stat")
	cmd.Process.Kill()
	cmd.Wait()
	if _, err := vfs.ReadFile(t.Context(), dir, 1<<20, "environ"); err == nil {
		t.Fatal("environ of a process that has ended")
	}
	for _, name := range []string{"stat", "status"} {
		if _, err := vfs.ReadFile(t.Context(), dir, 1<<20, name); err == nil {
			t.Errorf("%s of a process that has ended", name)
		}
	}
	if _, err := dir.Attr(t.Context()); err == nil {
		t.Error("its directory has attributes")
	}
}

func TestHints(t *testing.T) {
	c := newTestCluster(t, Config{Timeouts: Timeouts{Connect: time.Second, Read: 3 * time.Second, Sweep: 4 * time.Second}})
	patience, remarks, err := Patience(t.Context(), rootOf(t, c, vfs.Root, ""))
	if want := 8 * time.Second; patience != want || !remarks || err != nil {
		t.Errorf("a request may take %v, want %v; remarks %v, error %v", patience, want, remarks, err)
	}
}

// A thread is no process: in a limited view none is found by its number, whosever
// it looks like.
func TestThreadsAreNoProcesses(t *testing.T) {
	c := newTestCluster(t, Config{}, "n1")
	root := rootOf(t, c, vfs.Root, "/users/0")
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil || len(threads) < 2 {
		t.Fatal(threads, err)
	}
	for _, th := range threads {
		tid, _ := strconv.Atoi(th.Name())
		if tid == os.Getpid() {
			continue
		}
		absent(t, root, strconv.Itoa(gpid.Stride+tid))
		absent(t, root, "nodes", "n1", th.Name())
		absent(t, root, "n1:"+th.Name())
	}
	walkDir(t, root, strconv.Itoa(gpid.Stride+os.Getpid()))
}
