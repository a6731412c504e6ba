package procfs9p

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// held are nodes of one process, to be used after its end.
type held struct {
	proc, task     vfs.Dir
	stat, taskStat vfs.File
	exe            vfs.Link
}

func hold(t *testing.T, root vfs.Dir, pid int) (h held) {
	t.Helper()
	p := strconv.Itoa(pid)
	walk := func(names ...string) vfs.Node {
		n, _, err := vfs.WalkPath(t.Context(), root, names...)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return held{
		walk(p).(vfs.Dir), walk(p, "task").(vfs.Dir), walk(p, "stat").(vfs.File),
		walk(p, "task", p, "stat").(vfs.File), walk(p, "exe").(vfs.Link),
	}
}

// checkGone uses every node in every way.
func (h held) checkGone(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for name, use := range map[string]func() error{
		"stat of directory": func() error { _, err := h.proc.Attr(ctx); return err },
		"stat of file":      func() error { _, err := h.stat.Attr(ctx); return err },
		"open":              func() error { _, err := h.stat.Open(ctx); return err },
		"open in task":      func() error { _, err := h.taskStat.Open(ctx); return err },
		"readlink":          func() error { _, err := h.exe.Readlink(ctx); return err },
		"walk":              func() error { _, err := h.proc.Walk(ctx, "status"); return err },
		"walk in task":      func() error { _, err := h.task.Walk(ctx, "1"); return err },
		"list": func() error {
			d, err := h.proc.List(ctx)
			if err != nil {
				return err
			}
			defer d.Close()
			_, err = d.ReadDir(ctx, 0, nil, 10)
			return err
		},
	} {
		if err := use(); !isGone(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProcessExit(t *testing.T) {
	root := attach(t, newLeaf(t, Config{}), vfs.Root, "")
	cmd := start(t, nil, "sleep", "1000")
	h := hold(t, root, cmd.Process.Pid)
	file, err := h.stat.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	h.checkGone(t)
	if b, err := vfs.ReadAll(t.Context(), file, 1<<20); err != nil || !strings.Contains(string(b), "(sleep)") {
		t.Errorf("open file: %q, %v", b, err)
	}
}

// space is a pid namespace with a procfs of its own, whose first process is a
// shell that does what it is told.
type space struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	proc string
}

func newSpace(t *testing.T) *space {
	t.Helper()
	s := &space{t: t, cmd: exec.Command("sh")}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: 0,
	}
	in, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.in, s.out = in, bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // and with it all of the namespace
		_ = s.cmd.Wait()
	})
	s.do("mount --make-rprivate / && mount -t proc proc /proc; echo done")
	s.proc = fmt.Sprintf("/proc/%d/root/proc", s.cmd.Process.Pid)
	return s
}

// do has a line of shell carried out, which must print one line.
func (s *space) do(line string) string {
	s.t.Helper()
	if _, err := io.WriteString(s.in, line+"\n"); err != nil {
		s.t.Fatal(err)
	}
	answer, err := s.out.ReadString('\n')
	if err != nil {
		s.t.Fatalf("%s: %v", line, err)
	}
	return strings.TrimSpace(answer)
}

// TestPIDReuse gives one pid to process after process, as fast as can be.
func TestPIDReuse(t *testing.T) {
	s := newSpace(t)
	root := attach(t, newLeaf(t, Config{Root: s.proc}), vfs.Root, "")
	const pid = 77
	seen := map[uint64]bool{}
	var before *held
	for i := range 30 {
		got := s.do(fmt.Sprintf("echo %d > /proc/sys/kernel/ns_last_pid; sleep %d & echo $!", pid-1, 1000+i))
		if got != strconv.Itoa(pid) {
			t.Fatalf("pid %s", got)
		}
		h := hold(t, root, pid)
		if id := h.proc.ID(); seen[id] {
			t.Errorf("round %d: the id of an earlier process", i)
		} else {
			seen[id] = true
		}
		if before != nil {
			before.checkGone(t)
		}
		s.do(fmt.Sprintf("kill -9 %d; wait %d; echo done", pid, pid))
		h.checkGone(t)
		before = &h
	}
}

// TestForgottenInodes has the kernel forget the inodes of a process, and make
// others for it.
func TestForgottenInodes(t *testing.T) {
	root := attach(t, newLeaf(t, Config{}), vfs.Root, "")
	pid := quiet(t, nil)
	h := hold(t, root, pid)
	ino := inode(t, pid)
	for range 20 {
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0); err != nil {
			t.Fatal(err)
		}
		if inode(t, pid) != ino {
			break
		}
	}
	if inode(t, pid) == ino {
		t.Log("the kernel kept the inode")
	}
	again := hold(t, root, pid)
	if h.proc.ID() != again.proc.ID() || h.taskStat.ID() != again.taskStat.ID() {
		t.Error("the ids have changed")
	}
	if _, err := h.taskStat.Open(t.Context()); err != nil {
		t.Error(err)
	}
	for _, e := range list(t, root) {
		if e.Name == strconv.Itoa(pid) && e.ID != h.proc.ID() {
			t.Error("listed with another id")
		}
	}
}

func inode(t *testing.T, pid int) uint64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(procPath(pid, ""), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// TestRegistry plays what the kernel does with inode numbers and start times.
func TestRegistry(t *testing.T) {
	const pid, start = 7, 1000 // start as startTime returns it: tick 999 plus one
	for _, c := range []struct {
		name             string
		seen             uint64 // tick in which the first is seen
		ino, start2, now uint64
		same             bool
	}{
		{"same inode", 999, 1, start, 2000, true},
		{"inode forgotten", 1000, 2, start, 2000, true},
		{"another process", 1000, 2, 1500, 2000, false},
		{"another process of the same tick", 999, 2, start, 2000, false},
		{"start time not to be had", 1000, 2, 0, 2000, false},
	} {
		r := newRegistry(nil, 0, 42)
		first := r.settle(pid, 1, start, c.seen)
		if second := r.settle(pid, c.ino, c.start2, c.now); (second == first) != c.same {
			t.Errorf("%s: same is %v", c.name, second == first)
		}
	}
}
