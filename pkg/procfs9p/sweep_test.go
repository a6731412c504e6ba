package procfs9p

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

func openSweep(t testing.TB, l *Leaf) snapshot.RPC {
	t.Helper()
	h, _, err := vfs.OpenPath(t.Context(), attach(t, l, vfs.Root, SnapshotName), snapshot.SweepFile)
	if err != nil {
		t.Fatal(err)
	}
	return h.(snapshot.RPC)
}

func sweep(t testing.TB, l *Leaf, req snapshot.Request) *snapshot.Table {
	t.Helper()
	h := openSweep(t, l)
	defer h.Close()
	table, err := snapshot.Fetch(t.Context(), h, req, nil, snapshot.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// TestSweepEqualsFiles holds a snapshot against the files themselves, and
// against the tree.
func TestSweepEqualsFiles(t *testing.T) {
	pid := quiet(t, asUser())
	l := newLeaf(t, Config{Version: "v1"})
	root := attach(t, l, vfs.Root, "")
	files := []string{
		"stat", "statm", "status", "cmdline", "environ", "cgroup", "maps", "limits", "mountinfo", "attr/current",
		"ctty", "mem", "fd", "exe", "net/rpc/x/channel", "task/" + strconv.Itoa(pid) + "/stat",
	}
	for range 2 { // the second of a leaf that has made one
		table := sweep(t, l, snapshot.Request{Files: files})
		i, ok := table.Find(int32(pid))
		if !ok {
			t.Fatal("the process is missing")
		}
		for k, name := range files {
			got, errno := table.File(i, k)
			want, wantErr := os.ReadFile(procPath(pid, name))
			switch name {
			case "mem":
				if errno == 0 {
					t.Errorf("%s is given out", name)
				}
			case "exe":
				if text, _ := os.Readlink(procPath(pid, name)); errno != 0 || string(got) != text {
					t.Errorf("%s: %q, %v; native %q", name, got, errno, text)
				}
			default:
				if errno != vfs.Errno(wantErr) || !bytes.Equal(ownLines(got), ownLines(want)) {
					t.Errorf("%s: %q, %v; native %q, %v", name, got, errno, want, wantErr)
				}
			}
		}
		n, err := root.Walk(t.Context(), strconv.Itoa(pid))
		if err != nil {
			t.Fatal(err)
		}
		a, err := n.Attr(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var file syscall.Stat_t
		if err := syscall.Stat(procPath(pid, "stat"), &file); err != nil {
			t.Fatal(err)
		}
		want := snapshot.Proc{
			PID: int32(pid), ID: n.ID(), UID: testUID, GID: testUID, Mode: a.Mode, Nlink: a.Nlink, Mtime: a.Mtime.UnixNano(),
			FileUID: file.Uid, FileGID: file.Gid, OwnerReads: true,
		}
		if got := table.Proc(i); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		if _, ok := table.Find(1); !ok {
			t.Error("init is missing")
		}
	}
}

func TestFacts(t *testing.T) {
	l := newLeaf(t, Config{Version: "v1"})
	f := sweep(t, l, snapshot.Request{Files: []string{"stat"}}).Facts()
	sysctl := func(name string) string {
		b, err := os.ReadFile("/proc/sys/kernel/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(bytes.TrimSpace(b))
	}
	if f.BootID != sysctl("random/boot_id") || f.Release != sysctl("osrelease") || f.Hostname != sysctl("hostname") ||
		strconv.Itoa(f.PIDMax) != sysctl("pid_max") || f.Hz != 100 || f.PageSize != os.Getpagesize() || f.Version != "v1" {
		t.Errorf("%+v", f)
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		t.Fatal(err)
	}
	if up := time.Since(f.BootTime) - time.Duration(info.Uptime)*time.Second; up < -2*time.Second || up > 2*time.Second {
		t.Errorf("boot time %v is %v off", f.BootTime, up)
	}
}

// TestSweepCancelled leaves a sweep that nobody else waits for.
func TestSweepCancelled(t *testing.T) {
	l := newLeaf(t, Config{StallTimeout: 20 * time.Millisecond})
	pit := newTarpit(t, l, "/cmdline")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	time.AfterFunc(5*time.Millisecond, cancel)
	if _, err := l.sweeps.Answer(ctx, snapshot.Request{Files: []string{"cmdline"}}); vfs.Errno(err) != syscall.EINTR {
		t.Errorf("%v", err)
	}
	pit.release()
	waitFor(t, "end of the sweep", func() bool {
		l.guard.mu.Lock()
		defer l.guard.mu.Unlock()
		return l.guard.running == 0
	})
}

func TestSweepHandle(t *testing.T) {
	l := newLeaf(t, Config{})
	h := openSweep(t, l)
	defer h.Close()
	ctx := t.Context()
	buf := make([]byte, 100)
	if n, err := h.ReadAt(ctx, buf, 0); n != 0 || err != nil {
		t.Errorf("nothing written: %d, %v", n, err)
	}
	msg := snapshot.Request{Files: []string{"stat"}}.Append(nil)
	for _, c := range []struct {
		off  int64
		p    []byte
		want syscall.Errno
	}{
		{5, msg, syscall.EINVAL},
		{-1, msg, syscall.EINVAL},
		{0, make([]byte, snapshot.MaxRequest+1), syscall.EFBIG},
		{0, msg[:7], 0},
		{7, msg[7:], 0},
	} {
		if _, err := h.WriteAt(ctx, c.p, c.off); vfs.Errno(err) != c.want {
			t.Errorf("write of %d at %d: %v", len(c.p), c.off, err)
		}
	}
	n, err := h.ReadAt(ctx, buf, 0)
	if n != len(buf) || err != nil {
		t.Errorf("read: %d, %v", n, err)
	}
	if n, err = h.ReadAt(ctx, buf, 1<<40); n != 0 || err != nil {
		t.Errorf("beyond the end: %d, %v", n, err)
	}
	if _, err := h.WriteAt(ctx, msg, int64(len(msg))); vfs.Errno(err) != syscall.EINVAL {
		t.Errorf("write after the answer: %v", err)
	}
	if _, err := h.WriteAt(ctx, []byte("garbage"), 0); err != nil {
		t.Errorf("another request: %v", err)
	}
	if _, err := h.ReadAt(ctx, buf, 0); vfs.Errno(err) != syscall.EINVAL {
		t.Errorf("answer to garbage: %v", err)
	}
}

// TestSweepFollows asks for what changed.
func TestSweepFollows(t *testing.T) {
	pid := quiet(t, nil)
	l := newLeaf(t, Config{})
	h := openSweep(t, l)
	defer h.Close()
	req := snapshot.Request{Files: []string{"comm", "cmdline", "status"}, Remember: true}
	var table *snapshot.Table
	follow := func() *snapshot.Table {
		t.Helper()
		next, err := snapshot.Fetch(t.Context(), h, req, table, snapshot.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	table = follow()
	answer, err := l.sweeps.Answer(t.Context(), snapshot.Request{Files: req.Files, Remember: true, Held: table.Generation()})
	if err != nil {
		t.Fatal(err)
	}
	now, err := snapshot.Decode(table, answer, snapshot.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	changed := 0 // on a busy machine that is not few
	for i := range now.Len() {
		if now.Changed(i, table.Generation()) {
			changed++
		}
	}
	if share := float64(changed) / float64(now.Len()); float64(len(answer)) > (share+0.5)*float64(table.Size()) {
		t.Errorf("%d bytes have changed of %d, and %d processes of %d", len(answer), table.Size(), changed, now.Len())
	}
	other := exec.Command("sleep", "1000")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	next := follow()
	if i, ok := next.Find(int32(other.Process.Pid)); !ok {
		t.Error("the new process is missing")
	} else if name, _ := next.File(i, 0); string(name) != "sleep\n" {
		t.Errorf("comm is %q", name)
	}
	if i, ok := next.Find(int32(pid)); !ok {
		t.Error("the old process is missing")
	} else {
		want, err := os.ReadFile(procPath(pid, "status"))
		if got, errno := next.File(i, 2); err != nil || errno != 0 || !bytes.Equal(ownLines(got), ownLines(want)) {
			t.Errorf("status is %q, want %q", got, want)
		}
	}
	if next.Generation() <= table.Generation() {
		t.Errorf("generation %d after %d", next.Generation(), table.Generation())
	}
	table = next
	_ = other.Process.Kill()
	_ = other.Wait()
	if next = follow(); next.Generation() <= table.Generation() {
		t.Errorf("generation %d after %d", next.Generation(), table.Generation())
	}
	if _, ok := next.Find(int32(other.Process.Pid)); ok {
		t.Error("a process that has ended is there")
	}
}

// TestEntryNames holds the names in a snapshot against those of a process.
func TestEntryNames(t *testing.T) {
	l := newLeaf(t, Config{})
	pid := strconv.Itoa(quiet(t, nil))
	process, thread := sweep(t, l, snapshot.Request{Files: []string{"stat"}}).Names().Lists()
	for _, c := range []struct {
		names []snapshot.Name
		path  []string
	}{{process, []string{pid}}, {thread, []string{pid, "task", pid}}} {
		n, _, err := vfs.WalkPath(t.Context(), attach(t, l, vfs.Root, ""), c.path...)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := n.(dir).load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != len(c.names) || len(entries) < 20 {
			t.Fatalf("%d names, want %d", len(c.names), len(entries))
		}
		for i, e := range entries {
			a, err := n.(dir).child(e.Name, e.Type).Attr(t.Context())
			if want := (snapshot.Name{Name: e.Name, Mode: a.Mode}); err != nil || c.names[i] != want {
				t.Errorf("%+v, want %+v (%v)", c.names[i], want, err)
			}
		}
	}
}

// TestSweepOfVanishing sweeps while processes come and go.
func TestSweepOfVanishing(t *testing.T) {
	s := newSpace(t)
	l := newLeaf(t, Config{Root: s.proc})
	s.do("(while :; do /bin/true; done) & (while :; do /bin/true | /bin/true; done) & echo done")
	for range 300 {
		table := sweep(t, l, snapshot.Request{Files: []string{"stat", "status", "cmdline"}})
		if table.Len() == 0 {
			t.Fatal("no process")
		}
		for i := range table.Len() {
			for k := range table.Files() {
				if content, errno := table.File(i, k); errno != 0 || k == 0 && len(content) == 0 {
					t.Fatalf("pid %d, %s: %q, %v", table.PID(i), table.Files()[k], content, errno)
				}
			}
		}
	}
}
