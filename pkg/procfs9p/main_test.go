package procfs9p

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/actor"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/wait"
	"go.uber.org/goleak"
)

// The first thread is the main goroutine's, as that of procsrv: it is what others see of the
// process. Only what is locked before main begins is sure to be on it.
func init() { runtime.LockOSThread() }

// TestMain keeps the first thread to itself.
func TestMain(m *testing.M) {
	actor.MaybeRun()
	if what := os.Getenv(actVariable); what != "" {
		if err := act(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// patience is the leaf's where a test is not about time: on a busy machine the kernel
// may take seconds for files such as kallsyms and timer_list, and a worker may not run
// for as long.
const patience = time.Minute

// newLeaf makes a leaf that ends with the test. What the test sets no time for has all
// that it needs.
func newLeaf(t testing.TB, cfg Config) *Leaf {
	t.Helper()
	for _, d := range []*time.Duration{&cfg.ReadTimeout, &cfg.SweepTimeout, &cfg.StallTimeout} {
		setDefault(d, patience)
	}
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// attach is the root of a tree of l, or of one that shows it.
func attach(t testing.TB, l vfs.Tree, who vfs.Identity, aname string) vfs.Dir {
	t.Helper()
	n, err := l.Attach(t.Context(), who, aname)
	if err != nil {
		t.Fatal(err)
	}
	return n.(vfs.Dir)
}

// start runs a command that dies with the test.
func start(t testing.TB, attr *syscall.SysProcAttr, argv ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = attr
	begin(t, cmd)
	return cmd
}

func begin(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
}

// quiet runs a process that does nothing and is stopped, so that its files do
// not change.
func quiet(t testing.TB, attr *syscall.SysProcAttr) (pid int) {
	t.Helper()
	pid = start(t, attr, "sleep", "1000").Process.Pid
	quieten(t, pid)
	return pid
}

// quieten stops a process that is becoming "sleep 1000".
func quieten(t testing.TB, pid int) {
	t.Helper()
	waitFor(t, "exec of sleep", func() bool {
		b, _ := os.ReadFile(procPath(pid, "cmdline"))
		return string(b) == "sleep\x001000\x00"
	})
	time.Sleep(20 * time.Millisecond) // it goes to sleep
	stop(t, pid)
}

func stop(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "stop", func() bool {
		b, _ := os.ReadFile(procPath(pid, "wchan"))
		return string(b) == "do_signal_stop"
	})
}

func procPath(pid int, rel string) string { return "/proc/" + strconv.Itoa(pid) + "/" + rel }

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	wait.Until(t, what, ok)
}

func read(t testing.TB, d vfs.Dir, names ...string) ([]byte, error) {
	t.Helper()
	return vfs.ReadFile(t.Context(), d, 64<<20, names...)
}

func list(t testing.TB, d vfs.Dir) []vfs.DirEntry {
	t.Helper()
	h, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	var all []vfs.DirEntry
	for offset := uint64(0); ; {
		n := len(all)
		if all, err = h.ReadDir(t.Context(), offset, all, 100); err != nil {
			t.Fatal(err)
		}
		if len(all) == n {
			return all
		}
		offset = all[len(all)-1].Next
	}
}
