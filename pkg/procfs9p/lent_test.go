package procfs9p

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/procfs9p/lend"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

const testUID = 1001

func asUser() *syscall.SysProcAttr { return becomes(userA) }

// ownLines is a file of a process without the lines of status that count what
// all processes of its user do.
func ownLines(file []byte) []byte {
	var own []byte
	for line := range bytes.Lines(file) {
		if !bytes.HasPrefix(line, []byte("SigQ:")) {
			own = append(own, line...)
		}
	}
	return own
}

// shared are files that count who else maps a library: any process that starts
// changes them.
var shared = map[string]bool{"smaps_rollup": true, "numa_maps": true}

// TestKeyrings makes sure that no user is shown root's keyrings.
func TestKeyrings(t *testing.T) {
	l := newLeaf(t, Config{})
	if _, err := read(t, attach(t, l, vfs.Identity{UID: testUID, GID: testUID}, ""), "keys"); vfs.Errno(err) != syscall.EACCES {
		t.Errorf("keys as a user: %v", err)
	}
	if _, err := read(t, attach(t, l, vfs.Root, ""), "keys"); err != nil {
		t.Errorf("keys as root: %v", err)
	}
}

// TestThreadIsNotTheirs: whose rights a thread has can do nothing to it.
func TestThreadIsNotTheirs(t *testing.T) {
	own := lend.New(lend.ReadOwn)
	tids, done := make(chan int), make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		defer close(tids)
		_, err := lend.As(own, &userA, func() (int, error) {
			tids <- unix.Gettid()
			<-done
			return 0, nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	tid := <-tids
	lines := threadLines(t, "self/task/"+strconv.Itoa(tid))
	if !strings.Contains(lines, "Uid:\t0\t1001\t0\t1001\n") || !strings.Contains(lines, "Gid:\t0\t1001\t0\t1001\n") ||
		!strings.Contains(lines, "Groups:\t \n") || !strings.Contains(lines, "CapEff:\t0000000000000000\n") {
		t.Errorf("the rights of A are %q", lines)
	}
	cmd := again(t.Context(), "pester", threadVariable+"="+strconv.Itoa(tid))
	cmd.SysProcAttr = becomes(userA)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	close(done)
	work.Wait()
}

// pester does to a thread what its owner may do.
func pester(tid int) error {
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cpus); err != nil {
		return err
	}
	const nice, idle = 19, 5
	for name, try := range map[string]func() error{
		"kill":     func() error { return unix.Kill(tid, 0) },
		"tgkill":   func() error { return unix.Tgkill(tid, tid, 0) },
		"nice":     func() error { return unix.Setpriority(unix.PRIO_PROCESS, tid, nice) },
		"affinity": func() error { return unix.SchedSetaffinity(tid, &cpus) },
		"scheduler": func() error {
			return unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: idle}, 0)
		},
		"limits":          func() error { return unix.Prlimit(tid, unix.RLIMIT_NOFILE, nil, new(unix.Rlimit)) },
		"ptrace":          func() error { return unix.PtraceSeize(tid) },
		"its environment": func() error { _, err := os.ReadFile(procPath(tid, "environ")); return err },
		"its oom score":   func() error { return os.WriteFile(procPath(tid, "oom_score_adj"), []byte("1000"), 0) },
	} {
		e := vfs.Errno(try())
		if e != syscall.EPERM && e != syscall.EACCES && !(name == "tgkill" && e == syscall.ESRCH) {
			return fmt.Errorf("%s: %w", name, e)
		}
	}
	return nil
}

// TestSpoiltThread has a thread that cannot be given its rights back: its
// goroutine keeps it, and reads elsewhere.
func TestSpoiltThread(t *testing.T) {
	l := newLeaf(t, Config{})
	l.own = lend.New(func() (*lend.Own, error) {
		own, err := lend.ReadOwn()
		own.UID = 54321 // which nobody without capabilities becomes
		return own, err
	})
	pid := strconv.Itoa(quiet(t, nil))
	user, root := attach(t, l, userA, ""), attach(t, l, vfs.Root, "")
	var work sync.WaitGroup
	work.Go(func() {
		if _, err := read(t, user, pid, "stat"); vfs.Errno(err) != syscall.EPERM {
			t.Errorf("rights that cannot be given back: %v", err)
		}
		if _, err := os.ReadFile(procPath(1, "stack")); vfs.Errno(err) != syscall.EACCES || !l.own.OnSpoilt() {
			t.Errorf("the goroutine has left its thread: %v", err)
		}
		for _, name := range []string{"stat", "environ"} {
			if _, err := read(t, root, pid, name); err != nil {
				t.Errorf("%s as root afterwards: %v", name, err)
			}
		}
	})
	work.Wait()
	if _, err := read(t, root, pid, "environ"); err != nil || l.own.OnSpoilt() {
		t.Errorf("on another thread: %v", err)
	}
}

// TestRightsComeBack looks at every thread of the test after many switches.
func TestRightsComeBack(t *testing.T) {
	l := newLeaf(t, Config{})
	before := threadLines(t, "self")
	var wg sync.WaitGroup
	for i := range 8 {
		d := attach(t, l, vfs.Identity{UID: 2000 + uint32(i), GID: 3000, Groups: []uint32{5, 6}}, "")
		wg.Go(func() {
			for range 50 {
				if _, err := read(t, d, "1", "stat"); err != nil {
					t.Error(err)
				}
				if _, err := read(t, d, "1", "environ"); vfs.Errno(err) != syscall.EACCES {
					t.Errorf("environ of init: %v", err)
				}
			}
		})
	}
	wg.Wait()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range tasks {
		if got := threadLines(t, "self/task/"+e.Name()); got != before && got != "" {
			t.Errorf("thread %s: %q, want %q", e.Name(), got, before)
		}
	}
}

// threadLines are the lines of status that tell a thread's rights.
func threadLines(t *testing.T, task string) string {
	b, err := os.ReadFile("/proc/" + task + "/status")
	if err != nil {
		return "" // ended
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		for _, key := range []string{"Uid:", "Gid:", "Groups:", "CapEff:", "CapPrm:"} {
			if strings.HasPrefix(line, key) {
				lines = append(lines, line)
			}
		}
	}
	return strings.Join(lines, "")
}

// TestAttach checks who may attach where.
func TestAttach(t *testing.T) {
	l := newLeaf(t, Config{})
	user := vfs.Identity{UID: testUID, GID: testUID}
	for _, c := range []struct {
		who   vfs.Identity
		aname string
		want  syscall.Errno
	}{
		{vfs.Root, "", 0},
		{vfs.Root, SnapshotName, 0},
		{vfs.Root, "other", syscall.ENOENT},
		{user, "", 0},
		{user, SnapshotName, syscall.EACCES},
		{user, ReadAheadName, 0},
		{vfs.Identity{UID: vfs.NoID, GID: testUID}, ReadAheadName, syscall.EACCES},
		{vfs.Identity{UID: vfs.NoID, GID: testUID}, "", syscall.EACCES},
		{vfs.Identity{UID: testUID, GID: vfs.NoID}, "", syscall.EACCES},
	} {
		if _, err := l.Attach(t.Context(), c.who, c.aname); vfs.Errno(err) != c.want {
			t.Errorf("%v %q: %v", c.who, c.aname, err)
		}
	}
}
