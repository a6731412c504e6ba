package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/wait"
)

// A follower reads a tree again and again until its input ends: by paths, and what it has open
// and stands in. It says each time that paths begin to be read, or to fail, and at the end how
// long one call took at most, which errors there were, and how often a root was listed
// without any process and without an error.
const follower = `
import sys, os, json, time, errno, threading
root = sys.argv[1]
longest, errors, empty, rounds = (0.0, ""), {}, 0, 0
def timed(what, f, *args):
    global longest
    began = time.monotonic()
    try:
        return f(*args)
    except OSError as e:
        name = what + " " + errno.errorcode.get(e.errno, str(e.errno))
        errors[name] = errors.get(name, 0) + 1
    finally:
        longest = max(longest, (time.monotonic() - began, what))
def content(path):
    with open(path, "rb", buffering=0) as f:
        return f.read()
def listed():
    global empty
    names = os.listdir(root)
    if not any(n[0].isdigit() for n in names):
        empty += 1
    return [n for n in names if len(n) == 8 and n[0] == "1"]
def keep():
    some = timed("list", listed)
    if not some:
        return None
    process = os.path.join(root, some[0])
    timed("enter", os.chdir, process)
    return (timed("open", os.open, process, os.O_RDONLY), timed("open", os.open, process + "/status", os.O_RDONLY),
            timed("open", os.open, root + "/nodes/n1/meminfo", os.O_RDONLY))
def drop(kept):
    for fd in kept or ():
        if fd is not None:
            os.close(fd)
    os.chdir("/")
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
state, kept = None, None
while not stop.is_set():
    rounds += 1
    names, text = timed("list", listed), timed("read", content, root + "/nodes/n1/meminfo")
    if kept:
        timed("cwd", os.stat, ".")
        timed("cwd list", os.listdir, ".")
        for fd in kept:
            if fd is not None:
                timed("kept", os.fstat, fd)
        if kept[0] is not None:
            timed("kept list", os.listdir, kept[0])
        for fd in kept[1:]:
            if fd is not None:
                timed("kept read", os.pread, fd, 4096, 0)
    now = "well" if names and text else "ill"
    if now != state:
        print(now, flush=True)
        state = now
        if now == "well":
            drop(kept)
            kept = keep()
    time.sleep(0.005)
drop(kept)
print(json.dumps({"longest": longest[0], "in": longest[1], "errors": errors, "empty": empty, "rounds": rounds}), flush=True)
`

// A following is a follower that runs.
type following struct {
	name   string
	cmd    *exec.Cmd
	in     io.WriteCloser
	log    log
	mu     sync.Mutex
	well   bool
	turns  int // how often it has become well
	report string
	ended  chan struct{}
}

// follow starts a follower by a command that ends with its interpreter.
func follow(t *testing.T, name string, argv []string, root string) *following {
	t.Helper()
	f := &following{name: name, ended: make(chan struct{})}
	argv = append(argv, "/usr/bin/python3", "-c", follower, root)
	f.cmd = exec.Command(argv[0], argv[1:]...)
	f.cmd.Stderr = &f.log
	var err error
	if f.in, err = f.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(f.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			f.mu.Lock()
			switch text := lines.Text(); text {
			case "well":
				f.well, f.turns = true, f.turns+1
			case "ill":
				f.well = false
			default:
				f.report = text
			}
			f.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		f.in.Close()
		f.cmd.Process.Kill()
		f.cmd.Wait()
	})
	return f
}

func (f *following) isWell() (well bool, turns int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.well, f.turns
}

// longestWait is what one call may take, in seconds: five until a server that hangs is given
// up, the deadline of a request, and what a busy machine adds.
const longestWait = 30

// end ends the follower and checks what it has seen.
func (f *following) end(t *testing.T) {
	t.Helper()
	f.in.Close()
	wait.Until(t, f.name+" ends", func() bool {
		select {
		case <-f.ended:
			return true
		default:
			return false
		}
	})
	var got struct {
		Longest       float64
		In            string
		Errors        map[string]int
		Empty, Rounds int
	}
	if err := json.Unmarshal([]byte(f.report), &got); err != nil {
		t.Errorf("%s: %v: %q\n%s", f.name, err, f.report, &f.log)
		return
	}
	t.Logf("%s: %d rounds, the longest call took %.2f s (%s), errors %v", f.name, got.Rounds, got.Longest, got.In, got.Errors)
	if got.Longest > longestWait || got.Empty > 0 {
		t.Errorf("%s: a call took %.1f s; %d listings were empty, and no error", f.name, got.Longest, got.Empty)
	}
	for what := range got.Errors {
		switch _, errno, _ := strings.Cut(what, " "); errno[strings.LastIndexByte(errno, ' ')+1:] {
		case "EIO", "ECONNABORTED", "ESTALE", "ENOTCONN", "ETIMEDOUT", "EHOSTDOWN", "ESRCH", "ENOENT":
		default:
			t.Errorf("%s: %s", f.name, what)
		}
	}
}

// outlives has a server go away and come back, and sees that all followers fail meanwhile and
// are well afterwards.
func (s *site) outlives(what string, rounds int, all []*following, away, back func()) {
	s.t.Helper()
	for round := range rounds {
		turns := make([]int, len(all))
		for i, f := range all {
			s.eventually(f.name+" reads", func() bool { well, _ := f.isWell(); return well })
			_, turns[i] = f.isWell()
		}
		away()
		for _, f := range all {
			s.eventually(fmt.Sprintf("%s, %s, round %d: it is told that there is no server", f.name, what, round), func() bool { well, _ := f.isWell(); return !well })
		}
		back()
		for i, f := range all {
			s.eventually(fmt.Sprintf("%s, %s, round %d: it reads again", f.name, what, round), func() bool {
				well, n := f.isWell()
				return well && n > turns[i]
			})
		}
	}
}

// Mounts outlive their server, however that ends: what is asked meanwhile fails in time, and
// what is asked afterwards is answered, also by another build.
func TestMountsOutliveTheServer(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "views: [{users: [\"1001\"], nodes: all, processes: all}]\ntimeouts: {connect: 3s, read: 3s, sweep: 3s}\n")
	alice := vfs.Identity{UID: cluster.Alice, GID: cluster.Alice}
	aggrfs := filepath.Join(bin, "aggrfs")
	shared := t.TempDir()
	reachable(t, filepath.Join(shared, "x"))
	s.mountAt(shared, "--allow-other")
	all := []*following{
		follow(t, "root, mount", nil, s.mount()),
		follow(t, "root, mount --allow-other", nil, shared),
		follow(t, "a user, mount --allow-other", as(alice), shared),
		follow(t, "root, exec", []string{aggrfs, "exec", "--server", s.server, "--"}, "/proc"),
		follow(t, "a user, exec", s.asUserArgs(alice, "exec", "--server", s.server, "--"), "/proc"),
	}
	other := anotherBuild(t, "main.version=another")
	start := func(programs string) func() {
		return func() {
			s.programs = programs
			s.serve()
		}
	}
	kill := func(sig syscall.Signal) func() {
		return func() {
			if err := syscall.Kill(s.pid(), sig); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.killed = true // which is no fault of it
	s.outlives("kill -9", rounds, all, kill(syscall.SIGKILL), start(bin))
	s.outlives("a restart", rounds, all, s.stop, start(bin))
	s.outlives("another build", 1, all, s.stop, start(other))
	s.outlives("and back", 1, all, s.stop, start(bin))
	s.outlives("SIGSTOP", stops, all, kill(syscall.SIGSTOP), kill(syscall.SIGCONT))
	for _, f := range all {
		f.end(t)
	}
	if waiting := uninterruptible(t); waiting != "" {
		t.Errorf("these wait in a way that no signal ends:\n%s", waiting)
	}
}

const (
	rounds = 20
	// A stop takes as long as a server that hangs is waited for.
	stops = 3
)

// The same by commands that do without what older kernels have not: as on Linux 6.9 to 6.15 in a user
// namespace whose device cannot be cloned; as on 6.1 there; and as on 6.1 for root.
func TestMountsOutliveTheServerOnOlderKernels(t *testing.T) {
	for like, lacks := range map[string]string{
		"6.9": "clone,epoch,beneath,clock", "6.1": "clone,resend,epoch,beneath,clock", "6.1 root": "resend,epoch,beneath,clock",
	} {
		t.Run(like, func(t *testing.T) {
			var name unix.Utsname
			if err := unix.Uname(&name); err != nil {
				t.Fatal(err)
			}
			t.Logf("on Linux %s, without %s", unix.ByteSliceToString(name.Release[:]), lacks)
			s := newSite(t, cluster.Options{Nodes: 1}, "views: [{users: [\"1001\"], nodes: all, processes: all}]\ntimeouts: {connect: 3s, read: 3s, sweep: 3s}\n")
			alice := vfs.Identity{UID: cluster.Alice, GID: cluster.Alice}
			older := anotherBuild(t, "github.com/aggrfs/aggrfs/internal/olderkernel.lacks="+lacks)
			argv := s.asUserArgs(alice, "exec", "--server", s.server, "--")
			argv[slices.Index(argv, filepath.Join(bin, "aggrfs"))] = filepath.Join(older, "aggrfs")
			reachable(t, filepath.Join(older, "aggrfs"))
			all := []*following{
				follow(t, "root, exec", []string{filepath.Join(older, "aggrfs"), "exec", "--server", s.server, "--"}, "/proc"),
				follow(t, "a user, exec", argv, "/proc"),
			}
			s.killed = true
			s.outlives("kill -9", 5, all, func() {
				if err := syscall.Kill(s.pid(), syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}, s.serve)
			s.outlives("a restart", 5, all, s.stop, s.serve)
			for _, f := range all {
				f.end(t)
			}
			if waiting := uninterruptible(t); waiting != "" {
				t.Errorf("these wait in a way that no signal ends:\n%s", waiting)
			}
		})
	}
}

// anotherBuild is the program, built so that it is another: with a variable of that value.
func anotherBuild(t *testing.T, variable string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	build := exec.Command("go", "build", "-ldflags", "-X "+variable, "-o", dir+"/", "github.com/aggrfs/aggrfs/cmd/aggrfs")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return dir
}

// uninterruptible are the processes and threads of aggrfs and of the followers that stay in
// state D, see proc_pid_stat(5).
func uninterruptible(t *testing.T) string {
	t.Helper()
	var found string
	for range 20 { // reading a disk is D as well, and passes
		found = ""
		tasks, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*/stat")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range tasks {
			text, err := os.ReadFile(path)
			if err != nil {
				continue
			}
			name, rest, _ := strings.Cut(string(text), ") ")
			if strings.HasPrefix(rest, "D") && (strings.Contains(name, "(aggrfs") || strings.Contains(name, "(python3")) {
				found += string(text)
			}
		}
		if found == "" {
			return ""
		}
		time.Sleep(100 * time.Millisecond)
	}
	return found
}

// A mount whose command was killed is dead, and made anew in its place, without a moment in
// which the directory is empty.
func TestDeadMountIsMadeAnew(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	for name, from := range map[string][]string{"by a server": {"--server", s.server}, "by itself": {"--local"}} {
		t.Run(name, func(t *testing.T) { s.madeAnew(t, from) })
	}
}

// madeAnew mounts from there, kills the command and mounts again.
func (s *site) madeAnew(t *testing.T, from []string) {
	dir := t.TempDir()
	start := func() *exec.Cmd {
		t.Helper()
		argv := append(append([]string{"mount"}, from...), dir)
		cmd := exec.Command(filepath.Join(bin, "aggrfs"), argv...)
		cmd.Stderr = s.log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		s.eventually("the tree is mounted", func() bool {
			_, err := os.Stat(filepath.Join(dir, "cluster/nodes"))
			return err == nil
		})
		return cmd
	}
	cmd := start()
	for range 3 {
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		s.eventually("the mount is dead", func() bool {
			_, err := os.Stat(dir)
			return errors.Is(err, syscall.ENOTCONN)
		})
		empty, stop := 0, make(chan struct{})
		var looking sync.WaitGroup
		looking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if all, err := os.ReadDir(dir); err == nil && len(all) == 0 {
					empty++
				}
			}
		})
		cmd = start()
		close(stop)
		looking.Wait()
		if empty > 0 && kernelSince(t, 6, 5) {
			t.Errorf("the directory was empty %d times", empty)
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "cluster")); !os.IsNotExist(err) {
		t.Errorf("something is mounted still: %v", err)
	}
}

// kernelSince reports whether this machine's kernel is of that version or a later one, and says
// in the log which it is.
func kernelSince(t *testing.T, major, minor int) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	var x, y int
	if _, err := fmt.Sscanf(string(text), "%d.%d", &x, &y); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	t.Logf("Linux %d.%d", x, y)
	return x > major || x == major && y >= minor
}
