package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/cluster"
)

// lively starts and kills processes below the tree and says what is not as natively, where argv[1] is the
// tree. The machine's own processes are there at once, as what they are, and gone at once.
const lively = `
import errno, os, signal, subprocess, sys, time

proc, whole = sys.argv[1], sys.argv[2] == "whole"
def until(pid, name, want):
    path = "%s/%d/%s" % (sys.argv[3], pid, name)
    while want not in open(path, "rb").read():
        time.sleep(0.001)
def is_error(what, want, f):
    try:
        got = f()
    except OSError as e:
        if e.errno not in want:
            print("%s: %s" % (what, errno.errorcode[e.errno]))
        return
    print("%s: %r" % (what, got))

for round in range(10):
    p = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    me = "%s/%d" % (proc, p.pid)
    until(p.pid, "cmdline", b"1000")
    until(p.pid, "environ", b"PATH")
    os.listdir(proc)
    names = ["stat", "status", "cmdline"] + (["maps", "environ", "limits"] if whole else [])
    for name in names:
        os.stat(me + "/" + name)
        if not open(me + "/" + name, "rb").read():
            print(name + " is empty")
    cmdline = open(me + "/cmdline", "rb").read()
    if cmdline != b"sleep\0" + b"1000\0":
        print("command line %r" % cmdline)
    # What was open before exec, and is looked at after it.
    q = subprocess.Popen(["sh", "-c", "read go; exec sleep 2000"], stdin=subprocess.PIPE)
    early = "%s/%d/cmdline" % (proc, q.pid)
    until(q.pid, "cmdline", b"read go")
    if b"read go" not in open(early, "rb").read():
        print("not before exec")
    q.stdin.write(b"go\n"); q.stdin.flush()
    until(q.pid, "cmdline", b"sleep\0" + b"2000\0")
    got = open(early, "rb").read()
    if got != b"sleep\0" + b"2000\0":
        print("after exec: %r" % got)
    os.kill(q.pid, signal.SIGSTOP)
    until(q.pid, "stat", b") T ")
    if ") T " not in open("%s/%d/stat" % (proc, q.pid)).read():
        print("stopped, and not shown so")
    q.kill(); q.wait()
    held = [os.open(me + "/" + name, os.O_RDONLY) for name in names] if whole else []
    begun = [os.open(me + "/" + name, os.O_RDONLY) for name in names] if whole else []
    for fd in begun:
        os.read(fd, 4096)
    d = os.open(me, os.O_RDONLY | os.O_DIRECTORY)
    p.kill(); p.wait()
    gone = (errno.ENOENT, errno.ESRCH)
    is_error("open of a directory", gone, lambda: os.open(me, os.O_RDONLY))
    is_error("stat of a directory", gone, lambda: os.stat(me))
    for name in names:
        is_error("open of " + name, gone, lambda: os.open(me + "/" + name, os.O_RDONLY))
        is_error("stat of " + name, gone, lambda: os.stat(me + "/" + name))
        is_error("open of %s below the open directory" % name, gone, lambda: os.open(name, os.O_RDONLY, dir_fd=d))
    if str(p.pid) in os.listdir(proc):
        print("it is listed")
    for name, fd in zip(names, begun):
        def again():
            got = os.pread(fd, 4096, 0)
            if not got and name in ("cmdline", "environ", "maps"): # natively they are of memory that is gone
                raise OSError(errno.ESRCH, "nothing")
            return got
        is_error(name + " read again", (errno.ESRCH,), again)
    for fd in held + begun + [d]:
        try:
            os.fstat(fd)
        except OSError as e:
            print("fstat: %s" % e)
        os.close(fd)
print("done")
`

// The processes of the head are live: who has killed one and waited for it finds it nowhere, and
// who looks at one sees what it is now.
func TestHeadIsLive(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "views: [{users: \"1001\", nodes: \"head\"}]\n")
	const python = "/usr/bin/python3"
	byExec := func(flags ...string) []string {
		return append(append([]string{filepath.Join(bin, "aggrfs"), "exec", "--server", s.server}, flags...), "--")
	}
	script := func(proc, files, native string) []string { return []string{python, "-c", lively, proc, files, native} }
	alice := vfs.Identity{UID: cluster.Alice, GID: cluster.Alice}
	shared := s.mountShared()
	for what, command := range map[string][]string{
		"natively":      script("/proc", "whole", "/proc"),
		"exec":          append(byExec(), script("/proc", "whole", "/proc/self/root/run/aggrfs-native")...),
		"prefetched":    append(byExec("--prefetched"), script("/proc", "swept", "/run/aggrfs-native")...),
		"mount":         script(s.mount(), "whole", "/proc"),
		"shared, root":  script(shared, "whole", "/proc"),
		"shared, alice": append(as(alice), script(shared, "whole", "/proc")...),
	} {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir = "/"
		if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "done" {
			t.Errorf("%s: %v\n%.3000s", what, err, out)
		}
	}
}

// reread keeps files of a process open, reads them from their start each time a line comes, and prints
// what it finds: as the sysinfo crate does, and so bottom and others.
const reread = `
import errno, os, sys
held = {name: os.open(sys.argv[1] + "/" + name, os.O_RDONLY) for name in sys.argv[2:]}
for line in sys.stdin:
    out = []
    for name, fd in held.items():
        try:
            # In two parts, which are of one content.
            os.lseek(fd, 0, 0)
            text = os.read(fd, 30) + os.read(fd, 65536)
            out.append(name + "=" + ("T" if b") T " in text or b"T (stopped)" in text else "S"))
        except OSError as e:
            out.append(name + "=" + errno.errorcode[e.errno])
    print(" ".join(out), flush=True)
`

// A file that is kept open and read from its start again follows, on every kind of mount, and
// says ESRCH when its process has ended, as natively.
func TestReadAgain(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	n := s.cluster.Nodes[0]
	const python = "/usr/bin/python3"
	shared, private := s.mountShared(), s.mount()
	aggrfs := filepath.Join(bin, "aggrfs")
	for what, command := range map[string]func(pid int) []string{
		"exec": func(pid int) []string {
			return []string{aggrfs, "exec", "--server", s.server, "--", python, "-c", reread, fmt.Sprint("/proc/", pid+10_000_000), "stat", "status"}
		},
		"exec --prefetched": func(pid int) []string {
			return []string{aggrfs, "exec", "--server", s.server, "--prefetched", "--", python, "-c", reread, fmt.Sprint("/proc/", pid+10_000_000), "stat", "status"}
		},
		"mount": func(pid int) []string {
			return []string{python, "-c", reread, fmt.Sprint(private, "/", pid+10_000_000), "stat", "status"}
		},
		"a node": func(pid int) []string {
			return []string{python, "-c", reread, fmt.Sprint(private, "/nodes/n1/", pid), "stat", "status"}
		},
		"shared": func(pid int) []string {
			return []string{python, "-c", reread, fmt.Sprint(shared, "/", pid+10_000_000), "stat", "status"}
		},
	} {
		t.Run(what, func(t *testing.T) {
			pid, err := n.Spawn(cluster.Process{Argv: []string{"sleep", "888888"}})
			if err != nil {
				t.Fatal(err)
			}
			argv := command(pid)
			cmd := exec.Command(argv[0], argv[1:]...)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			become := func(want string) {
				t.Helper()
				s.eventuallyNil(want, func() error {
					fmt.Fprintln(in, "go")
					if !lines.Scan() {
						return errors.New("it says nothing")
					}
					if got := lines.Text(); got != want {
						return errors.New(got)
					}
					return nil
				})
			}
			become("stat=S status=S")
			for _, step := range []struct {
				signal syscall.Signal
				want   string
			}{{syscall.SIGSTOP, "T"}, {syscall.SIGCONT, "S"}, {syscall.SIGKILL, "ESRCH"}} {
				if err := n.Signal(pid, step.signal); err != nil {
					t.Fatal(err)
				}
				become("stat=" + step.want + " status=" + step.want)
			}
			in.Close()
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A command line that is longer than what a sweep brings is shown whole: by ps, by pgrep -f and by aggrfs
// ps, on a node and on the head.
func TestLongCommandLine(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	n := s.cluster.Nodes[0]
	args := []string{"sleep", "999999"} // the sum of all
	for i := range 900 {                // less than the 128 KiB that procps looks at
		args = append(args, fmt.Sprintf("0.%0100d", i))
	}
	args = append(args, "0.0123456789")
	if _, err := n.Spawn(cluster.Process{Argv: args}); err != nil {
		t.Fatal(err)
	}
	own := exec.Command(args[0], args[1:]...)
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { own.Process.Kill(); own.Wait() })
	want := strings.Join(args, " ")
	for what, out := range map[string]string{
		"ps":           s.onAll("sh", "-c", "ps -ww -eo args"),
		"ps whole":     s.onAll("ps", "-ww", "-eo", "args"),
		"pgrep":        s.onAll("pgrep", "-af", "0.0123456789$"),
		"prefetched":   s.said("exec", "--prefetched", "--", "ps", "-ww", "-eo", "args"),
		"aggrfs ps":    s.said("ps"),
		"aggrfs ps -p": s.said("ps", "--json"),
	} {
		// That on the node is one of the head's, too: it is the same machine.
		if got := strings.Count(out, want); got != 3 {
			t.Errorf("%s: the command line is shown %d times, not three, in %d bytes", what, got, len(out))
		}
	}
}

// said is what a subcommand prints.
func (s *site) said(sub string, args ...string) string {
	s.t.Helper()
	out, err := s.aggrfs(sub, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// tar over a process directory complains no more than over the native one: sizes and times of a
// file do not change while it is read.
func TestTar(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	n := s.cluster.Nodes[0]
	pid, err := n.Spawn(cluster.Process{Argv: []string{"sleep", "555555"}})
	if err != nil {
		t.Fatal(err)
	}
	native, err := n.HostPID(pid)
	if err != nil {
		t.Fatal(err)
	}
	private, shared := s.mount(), s.mountShared()
	complaints := func(dir string) (changed int, out string) {
		archive := filepath.Join(t.TempDir(), "x.tar")
		cmd := exec.Command("tar", "--create", "--file", archive, "--directory", dir, "--exclude", "./cwd", "--exclude", "./root", "--exclude", "./net", "--exclude", "./map_files", ".")
		b, _ := cmd.CombinedOutput()
		if out, err := output(exec.Command("tar", "--list", "--file", archive)); err != nil || strings.Count(out, "status") < 2 {
			t.Errorf("%s: %v\n%s", dir, err, out)
		}
		return strings.Count(string(b), "file changed as we read it"), string(b)
	}
	want, _ := complaints(fmt.Sprint("/proc/", native))
	for _, dir := range []string{fmt.Sprint(private, "/", 10_000_000+pid), fmt.Sprint(shared, "/", 10_000_000+pid), fmt.Sprint(private, "/nodes/n1/", pid)} {
		got, out := complaints(dir)
		if got > want+2 {
			t.Errorf("%s: tar says that a file has changed %d times, natively %d\n%s", dir, got, want, out)
		}
	}
}
