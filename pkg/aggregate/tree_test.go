package aggregate

import (
	"fmt"
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
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// sleeper starts a process that does nothing, as a user if uid is not 0.
func sleeper(t *testing.T, uid uint32) int {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	// Within the clock tick that it starts in, a process whose inode the kernel forgets is
	// taken for another one, and a test elsewhere drops the kernel's caches.
	time.Sleep(50 * time.Millisecond)
	return cmd.Process.Pid
}

// Every process of every node is listed once, under its gpid, and can be walked
// by gpid and by node and pid to the same object.
func TestEveryProcessOnce(t *testing.T) {
	c := newTestCluster(t, Config{}, "n1", "n2")
	pid := sleeper(t, 0)
	root := rootOf(t, c, vfs.Root, "")
	all := names(t, root)
	for index, node := range []string{"head", "n1", "n2"} {
		g := fmt.Sprint(index*gpid.Stride + pid)
		if n := len(all) - len(slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == g })); n != 1 {
			t.Errorf("%s is listed %d times", g, n)
		}
		a, _, err := vfs.WalkPath(t.Context(), root, g)
		if err != nil {
			t.Fatal(err)
		}
		b, _, err := vfs.WalkPath(t.Context(), root, fmt.Sprintf("%s:%d", node, pid))
		if err != nil || a.ID() != b.ID() {
			t.Errorf("%s and %s:%d are not the same: %v", g, node, pid, err)
		}
		stat := read(t, root, g, "stat")
		if !strings.HasPrefix(stat, g+" (sleep) ") {
			t.Errorf("stat of %s: %q", g, stat)
		}
		if status := read(t, root, g, "status"); !strings.Contains(status, "\nPid:\t"+g+"\n") {
			t.Errorf("status of %s: %q", g, status)
		}
		if tasks := names(t, walkDir(t, root, g, "task")); !slices.Equal(tasks, []string{g}) {
			t.Errorf("tasks of %s: %v", g, tasks)
		}
		if stat := read(t, root, g, "task", g, "stat"); !strings.HasPrefix(stat, g+" ") {
			t.Errorf("stat of its thread: %q", stat)
		}
		if native := read(t, root, "nodes", node, strconv.Itoa(pid), "stat"); !strings.HasPrefix(native, strconv.Itoa(pid)+" ") {
			t.Errorf("native stat: %q", native)
		}
	}
	for _, g := range []string{"4194305", "2139999999", "1" + strconv.Itoa(gpid.Stride+pid), "0", "-1", "007"} {
		if _, err := root.Walk(t.Context(), g); vfs.Errno(err) != syscall.ENOENT {
			t.Errorf("walk to %s: %v", g, err)
		}
	}
}

func walkDir(t *testing.T, root vfs.Dir, path ...string) vfs.Dir {
	t.Helper()
	n, _, err := vfs.WalkPath(t.Context(), root, path...)
	if err != nil {
		t.Fatalf("%v: %v", path, err)
	}
	return n.(vfs.Dir)
}

// Names that are not merged are links into the native procfs.
func TestNativeRest(t *testing.T) {
	c := newTestCluster(t, Config{Native: "/aside"})
	root := rootOf(t, c, vfs.Root, "")
	all := names(t, root)
	for _, name := range []string{"self", "thread-self", "mounts", "net", "filesystems", "uptime", "version"} {
		n, err := root.Walk(t.Context(), name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if text, err := n.(vfs.Link).Readlink(t.Context()); err != nil || text != "/aside/"+name {
			t.Errorf("%s -> %q, %v", name, text, err)
		}
		if !slices.Contains(all, name) {
			t.Errorf("%s is not listed", name)
		}
	}
	if got := read(t, root, "sys", "kernel", "pid_max"); got != "10000000\n" {
		t.Errorf("pid_max: %q", got)
	}
	if _, err := root.Walk(t.Context(), "no-such-name"); vfs.Errno(err) != syscall.ENOENT {
		t.Errorf("a name that does not exist: %v", err)
	}
}

// A tree that is ahead says so in uptime and in btime alike; one for a time namespace leaves uptime
// to the kernel.
func TestUptimeAhead(t *testing.T) {
	c := newTestCluster(t, Config{Native: "/aside"})
	const ahead = 1000000
	root := rootOf(t, c, vfs.Root, fmt.Sprintf("/uptime/%d", ahead))
	var own, told float64
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Sscan(string(text), &own)
	fmt.Sscan(read(t, root, "uptime"), &told)
	if by := told - own; by < ahead || by > ahead+patience.Seconds() {
		t.Errorf("uptime is ahead by %v s", by)
	}
	btime := func(root vfs.Dir) int { return line(read(t, root, "stat"), "btime")[0] }
	if by := btime(rootOf(t, c, vfs.Root, "")) - btime(root); by < ahead-1 || by > ahead+1 {
		t.Errorf("btime is ahead by %d s", by)
	}
	if !slices.Contains(names(t, root), "uptime") {
		t.Error("uptime is not listed")
	}
	n, err := rootOf(t, c, vfs.Root, fmt.Sprintf("/timens/%d", ahead)).Walk(t.Context(), "uptime")
	if err != nil || n.Type() != vfs.TypeLink {
		t.Errorf("for a time namespace uptime is %v, %v", n, err)
	}
}

// The reader's own process can be walked in a view without the head node.
func TestOwnProcess(t *testing.T) {
	c := newTestCluster(t, Config{}, "n1")
	root := rootOf(t, c, vfs.Root, "/sets/n1")
	pid := strconv.Itoa(os.Getpid())
	ctx := vfs.WithCaller(t.Context(), vfs.Caller{TID: uint32(syscall.Gettid())})
	if n, err := root.Walk(ctx, pid); err != nil || n.Type() != vfs.TypeLink {
		t.Errorf("own process: %v, %v", n, err)
	}
	// Who does not say which process is asking may be any of the user's own.
	if n, err := root.Walk(t.Context(), pid); err != nil || n.Type() != vfs.TypeLink {
		t.Errorf("own process without a caller: %v, %v", n, err)
	}
	for _, name := range []string{strconv.Itoa(sleeper(t, 1)), "4194303"} {
		if _, err := root.Walk(t.Context(), name); vfs.Errno(err) != syscall.ENOENT {
			t.Errorf("%s without a caller: %v", name, err)
		}
	}
	if _, err := root.Walk(ctx, strconv.Itoa(sleeper(t, 0))); vfs.Errno(err) != syscall.ENOENT {
		t.Errorf("somebody else's: %v", err)
	}
}

// Pid 1 of this machine is, in a view without it, a directory with one link, for programs
// on this machine; it is not listed.
func TestInitProcess(t *testing.T) {
	c := newTestCluster(t, Config{Native: "/aside"}, "n1")
	root := rootOf(t, c, vfs.Root, "/sets/n1")
	ctx := vfs.WithCaller(t.Context(), vfs.Caller{TID: uint32(syscall.Gettid())})
	n, err := root.Walk(ctx, "1")
	if err != nil {
		t.Fatal(err)
	}
	dir := n.(vfs.Dir)
	if all := names(t, dir); !slices.Equal(all, []string{"cgroup"}) {
		t.Errorf("it has %v", all)
	}
	for _, name := range []string{"stat", "status", "environ", "exe", "task", "root"} {
		if _, err := dir.Walk(ctx, name); vfs.Errno(err) != syscall.ENOENT {
			t.Errorf("%s: %v", name, err)
		}
	}
	link, err := dir.Walk(ctx, "cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if to, err := link.(vfs.Link).Readlink(ctx); to != "/aside/1/cgroup" || err != nil {
		t.Errorf("cgroup -> %q, %v", to, err)
	}
	if slices.Contains(names(t, root), "1") {
		t.Error("it is listed")
	}
	if n, err := rootOf(t, c, vfs.Root, "").Walk(ctx, "1"); err != nil || len(names(t, n.(vfs.Dir))) < 10 {
		t.Errorf("where it is part of the view: %v, %v", n, err)
	}
}

// Who is not root sees their own processes and no others, by whatever name.
func TestUserSeesOwn(t *testing.T) {
	c := newTestCluster(t, Config{Access: authority(ownEverywhere)}, "n1")
	mine, theirs := sleeper(t, 1), sleeper(t, 2)
	root := rootOf(t, c, vfs.Identity{UID: 1, GID: 1}, "")
	all := names(t, root)
	if !slices.Contains(all, strconv.Itoa(mine)) || !slices.Contains(all, strconv.Itoa(gpid.Stride+mine)) {
		t.Errorf("own processes are missing in %v", all)
	}
	for _, path := range [][]string{
		{strconv.Itoa(theirs)}, {strconv.Itoa(gpid.Stride + theirs)}, {"1"}, {fmt.Sprintf("n1:%d", theirs)},
		{"nodes", "n1", strconv.Itoa(theirs)}, {"users", "2"}, {"users", "root"}, {"sets", "n1", strconv.Itoa(gpid.Stride + theirs)},
		{"cluster", "where", strconv.Itoa(theirs)}, {strconv.Itoa(gpid.Stride + mine), "net"}, {strconv.Itoa(gpid.Stride + mine), "net", "tcp"},
		{strconv.Itoa(mine), "task", strconv.Itoa(mine), "net"}, {"nodes", "n1", strconv.Itoa(mine), "net"}, {"nodes", "n1", "sys", "kernel", "ns_last_pid"}, {"nodes", "n1", "sys", "fs", "file-nr"}, {"nodes", "n1", "locks"}, {"nodes", "n1", "sysvipc"}, {"nodes", "n1", "net"},
	} {
		if slices.Contains(all, path[0]) && len(path) == 1 {
			t.Errorf("%s is listed", path[0])
		}
		if _, _, err := vfs.WalkPath(t.Context(), root, path...); vfs.Errno(err) != syscall.ENOENT {
			t.Errorf("%v: %v", path, err)
		}
	}
	if got := names(t, walkDir(t, root, "nodes", "n1")); slices.Contains(got, strconv.Itoa(theirs)) || !slices.Contains(got, strconv.Itoa(mine)) {
		t.Errorf("nodes/n1 lists %v", got)
	}
	if got := read(t, root, "nodes", "n1", "meminfo"); !strings.Contains(got, "MemTotal") {
		t.Errorf("nodes/n1/meminfo: %q", got)
	}
	if got := read(t, root, strconv.Itoa(gpid.Stride+mine), "stat"); !strings.HasPrefix(got, strconv.Itoa(gpid.Stride+mine)+" ") {
		t.Errorf("own stat: %q", got)
	}
}

// Sets and users are the same root, limited.
func TestSubroots(t *testing.T) {
	c := newTestCluster(t, Config{}, "n1", "n2")
	pid := sleeper(t, 1)
	root := rootOf(t, c, vfs.Root, "")
	set := names(t, walkDir(t, root, "sets", "n[1-2]"))
	if slices.Contains(set, strconv.Itoa(pid)) || !slices.Contains(set, strconv.Itoa(2*gpid.Stride+pid)) {
		t.Error("sets/n[1-2] has the head's processes or not n2's")
	}
	user := names(t, walkDir(t, root, "users", "1"))
	if slices.Contains(user, "1") || !slices.Contains(user, strconv.Itoa(pid)) {
		t.Error("users/1 has root's processes or not its own")
	}
	if got := names(t, walkDir(t, root, "sets")); !slices.Equal(got, []string{"head", "n1", "n2"}) {
		t.Errorf("sets lists %v", got)
	}
	if got := names(t, walkDir(t, root, "sets", "n1", "sets")); len(got) != 0 {
		t.Errorf("a set's sets lists %v", got)
	}
	for _, bad := range []string{"n3", "n[", "n[1-9]", "n1,n9"} {
		if _, _, err := vfs.WalkPath(t.Context(), root, "sets", bad); vfs.Errno(err) != syscall.ENOENT {
			t.Errorf("sets/%s: %v", bad, err)
		}
	}
}

// A process shows in the first listing after its start and not in the first
// after its end, however good the table still is.
func TestListingIsNow(t *testing.T) {
	c := newTestCluster(t, Config{Policy: cachepolicy.Sweep(time.Hour)}, "n1")
	root := rootOf(t, c, vfs.Root, "")
	names(t, root)
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g := strconv.Itoa(gpid.Stride + cmd.Process.Pid)
	if !slices.Contains(names(t, root), g) {
		t.Error("a new process is not listed")
	}
	cmd.Process.Kill()
	cmd.Wait()
	if slices.Contains(names(t, root), g) {
		t.Error("a process that has ended is listed")
	}
}

// A pid that was reused is not the process that it was.
func TestReusedPID(t *testing.T) {
	c := newTestCluster(t, Config{}, "n1")
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	root := rootOf(t, c, vfs.Root, "")
	names(t, root)
	g := strconv.Itoa(gpid.Stride + cmd.Process.Pid)
	dir := walkDir(t, root, g)
	cmd.Process.Kill()
	cmd.Wait()
	if _, err := vfs.ReadFile(t.Context(), dir, 1<<20, "environ"); err == nil {
		t.Error("environ of a process that is gone can be read")
	}
}
