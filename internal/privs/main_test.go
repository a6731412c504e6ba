package privs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/wait"
	"go.uber.org/goleak"
)

// bin is where the programs under test are: static ones, as they are installed.
var bin string

// buildPrograms builds both daemons into dir. They are found in it by their names.
func buildPrograms(dir string, cgo bool, flags ...string) error {
	env := "CGO_ENABLED=0"
	if cgo {
		env = "CGO_ENABLED=1"
	}
	build := exec.Command("go", append(append([]string{"build"}, flags...), "-o", dir, "./cmd/aggrfs", "./cmd/procsrv")...)
	build.Dir, build.Env = "../..", append(os.Environ(), env)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "aggrfs-privs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := buildPrograms(dir, false, "-trimpath", "-ldflags", "-s -w"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	bin = dir
	code := m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// The users of the tests: who runs a daemon, and whose processes it shows. The
// latter is daemon, of the user database.
const (
	daemonUID = 4242
	testUID   = 1
	testGID   = 1
)

// log is what a daemon writes to stderr.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A daemon is a running program.
type daemon struct {
	dir string // its own
	pid int
	log log
}

// all is whatever root has.
const all = ^Set(0)

// limited is a command line that runs argv as the user with no more than the
// capabilities of set. The superuser has them by being root, others as ambient.
func limited(uid int, set Set, argv ...string) []string {
	caps := []string{"-all"}
	for n := range names {
		if set.Has(n) {
			caps = append(caps, "+"+strings.ToLower(names[n]))
		}
	}
	list, id := strings.Join(caps, ","), strconv.Itoa(uid)
	full := []string{"setpriv", "--reuid", id, "--regid", id, "--clear-groups", "--bounding-set", list, "--inh-caps", list}
	if uid != 0 {
		full = append(full, "--ambient-caps", list)
	}
	return append(full, argv...)
}

// start runs a program, of bin or by its path, in a directory of its own until the test ends.
// "DIR" in an argument is that directory.
func start(t *testing.T, uid int, set Set, argv ...string) *daemon {
	t.Helper()
	d := &daemon{dir: t.TempDir()}
	if err := os.Chown(d.dir, uid, uid); err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(argv[0]) {
		argv[0] = filepath.Join(bin, argv[0])
	}
	for i := range argv {
		argv[i] = strings.ReplaceAll(argv[i], "DIR", d.dir)
	}
	if set != all {
		argv = limited(uid, set, argv...)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = &d.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.pid = cmd.Process.Pid
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, d.log.String())
		}
	})
	wait.Until(t, "the daemon serves", func() bool { return strings.Contains(d.log.String(), "msg=serving") })
	return d
}

// attach connects to the daemon's socket and is the root as who sees it.
func (d *daemon) attach(t *testing.T, who vfs.Identity) vfs.Dir {
	t.Helper()
	return d.attachTo(t, who, "")
}

// attachTo is the same for another tree.
func (d *daemon) attachTo(t *testing.T, who vfs.Identity, aname string) vfs.Dir {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := ninep.Dial(ctx, ninep.Addr{Network: "unix", Address: filepath.Join(d.dir, "s")})
	if err != nil {
		t.Fatal(err)
	}
	client, err := ninep.NewClient(ctx, conn, ninep.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	root, err := client.Attach(ctx, who, aname)
	if err != nil {
		t.Fatal(err)
	}
	return root.(vfs.Dir)
}

// read reads a file below root.
func read(ctx context.Context, root vfs.Dir, path string) ([]byte, error) {
	return vfs.ReadFile(ctx, root, 64<<20, strings.Split(path, "/")...)
}

// quiet runs a process of the user that does nothing and is stopped, so that
// its files do not change.
func quiet(t *testing.T, uid uint32) (pid int) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: testGID}}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	file := func(name string) string {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", cmd.Process.Pid, name))
		return string(b)
	}
	wait.Until(t, "sleep", func() bool { return strings.Contains(file("wchan"), "nanosleep") })
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "stop", func() bool { return file("wchan") == "do_signal_stop" })
	return cmd.Process.Pid
}
