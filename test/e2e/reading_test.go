package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/cluster"
)

// readEveryWay reads the files that it is given in every way that the kernel has, and prints what
// is not what read(2) says, or else how many ways there were. A way may fail, where a program then
// takes another: natively mmap(2) of a file of /proc does.
const readEveryWay = `
import ctypes, errno, mmap, os, re, shutil, socket, sys, tempfile, threading

def read(fd):
    out = b""
    while True:
        part = os.read(fd, 65536)
        if not part:
            return out
        out += part

def small(fd):
    out = b""
    while True:
        part = os.read(fd, 100)
        if not part:
            return out
        out += part

def pread(fd):
    out = b""
    while True:
        part = os.pread(fd, 4096, len(out))
        if not part:
            return out
        out += part

def readv(fd):
    out = b""
    while True:
        a, b = bytearray(100), bytearray(5000)
        n = os.readv(fd, [a, b])
        if not n:
            return out
        out += bytes(a + b)[:n]

def moved(fd, move):
    a, b = socket.socketpair()
    out = []
    def drain():
        while True:
            part = b.recv(65536)
            if not part:
                return
            out.append(part)
    t = threading.Thread(target=drain)
    t.start()
    try:
        while move(a.fileno()) > 0:
            pass
    finally:
        a.close()
        t.join()
        b.close()
    return b"".join(out)

def sendfile(fd):
    return moved(fd, lambda to: os.sendfile(to, fd, None, 1 << 20))

def offset(fd):
    at = [0]
    def move(to):
        n = os.sendfile(to, fd, at[0], 1 << 20)
        at[0] += n
        return n
    return moved(fd, move)

def splice(fd):
    r, w = os.pipe()
    try:
        out = b""
        while True:
            n = os.splice(fd, w, 32768) if hasattr(os, "splice") else 0
            if n <= 0:
                return out
            out += os.read(r, n)
    finally:
        os.close(r); os.close(w)

def private(fd):
    with mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as m:
        return m[:]

def shared(fd):
    with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as m:
        return m[:]

def copied(fd):
    with tempfile.TemporaryFile() as to:
        while os.copy_file_range(fd, to.fileno(), 1 << 20):
            pass
        to.seek(0)
        return to.read()

def tofile(fd):
    with tempfile.TemporaryFile() as to:
        while os.sendfile(to.fileno(), fd, None, 1 << 20):
            pass
        to.seek(0)
        return to.read()

def seen(data):
    # what does not change from one moment to the next
    return re.sub(rb"[0-9a-fx.:]+", b"", data) if loose else data

with tempfile.TemporaryDirectory() as tmp:
    def copyfile(path):
        shutil.copyfile(path, tmp + "/f")
        return open(tmp + "/f", "rb").read()
    def copyfileobj(path):
        with open(path, "rb") as f, open(tmp + "/g", "wb") as g:
            shutil.copyfileobj(f, g)
        return open(tmp + "/g", "rb").read()
    def command(*argv):
        def run(path):
            import subprocess
            argv2 = [path if a == "@" else a for a in argv]
            if os.path.exists(tmp + "/h"):
                os.remove(tmp + "/h") # cp gives it the mode of the file of /proc
            out = subprocess.run(argv2, stdout=subprocess.PIPE, check=True).stdout
            return open(tmp + "/h", "rb").read() if argv[-1] == tmp + "/h" else out
        return run
    ways = [small, pread, readv, sendfile, offset, splice, private, shared, copied, tofile]
    whole = {"copyfile": copyfile, "copyfileobj": copyfileobj, "cat": command("cat", "@"), "busybox cat": command("busybox", "cat", "@"),
             "busybox cp": command("busybox", "cp", "@", tmp + "/h"), "cp": command("cp", "@", tmp + "/h"), "dd": command("dd", "if=@", "status=none")}
    good, failed = 0, []
    for arg in sys.argv[1:]:
        loose = arg.startswith("~")
        path = arg.lstrip("~")
        def check(name, got, want):
            global good
            if loose and got and got.endswith(b"\n") and abs(len(got) - len(want)) < len(want) / 4 or seen(got) == seen(want):
                good += 1
            else:
                print("%s by %s: %d bytes, not %d: %r" % (path, name, len(got), len(want), got[:60]))
        with open(path, "rb", buffering=0) as f:
            want = read(f.fileno())
        if not want:
            print(path + " is empty")
        for way in ways:
            for stat in (False, True):
                fd = os.open(path, os.O_RDONLY)
                try:
                    if stat:
                        os.fstat(fd)
                    check(way.__name__ + (" after fstat" if stat else ""), way(fd), want)
                except (OSError, ValueError) as e:
                    if way not in (private, shared, copied):
                        print("%s by %s: %s" % (path, way.__name__, e))
                finally:
                    os.close(fd)
        for name, way in whole.items():
            try:
                check(name, way(path.replace("if=", "")) if name != "dd" else command("dd", "if=" + path, "status=none")(path), want)
            except Exception as e:
                print("%s by %s: %s" % (path, name, e))
    print("good", good)
`

// Every way that the kernel has of reading a file gives the bytes that read(2) gives, of every kind
// of file, on every kind of mount.
func TestEveryWayOfReading(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "views: [{users: \"1001\", nodes: \"n[1-2]\"}]\n")
	n := s.cluster.Nodes[0]
	pid, err := n.Spawn(cluster.Process{UID: cluster.Alice, GID: cluster.Alice, Argv: []string{"sleep", "777777"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Signal(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(s.cluster.Dir, "ways.py")
	if err := os.WriteFile(script, []byte(readEveryWay), 0o644); err != nil {
		t.Fatal(err)
	}
	const python = "/usr/bin/python3"
	process := fmt.Sprint(10_000_000+pid) + "/"
	swept := []string{process + "cmdline", process + "stat", process + "status", process + "statm"}
	own := append([]string{process + "maps", process + "environ", process + "limits", process + "cgroup", process + "mountinfo", process + "comm", process + "auxv"}, swept...)
	exact := append([]string{"nodes/n1/filesystems", "nodes/n2/version", "cluster/whoami"}, own...)
	changing := []string{process + "smaps", process + "smaps_rollup", "cluster/nodes", "cluster/status", "cluster/ps", "stat", "meminfo", "vmstat", "cpuinfo", "nodes/n1/meminfo", "nodes/n1/stat"}
	argv := func(dir string, exact, changing []string) []string {
		all := []string{python, script}
		for _, f := range exact {
			all = append(all, dir+"/"+f)
		}
		for _, f := range changing {
			all = append(all, "~"+dir+"/"+f)
		}
		return all
	}
	alice := vfs.Identity{UID: cluster.Alice, GID: cluster.Alice}
	byExec := func(flags ...string) []string {
		return append(append([]string{filepath.Join(bin, "aggrfs"), "exec", "--server", s.server}, flags...), "--")
	}
	shared, private := s.mountShared(), s.mount()
	for what, command := range map[string][]string{
		"exec":           append(byExec(), argv("/proc", exact, changing)...),
		"exec --one-cpu": append(byExec("--one-cpu"), argv("/proc", exact, changing)...),
		"a user's exec":  s.asUserArgs(alice, append(byExec()[1:], argv("/proc", own, []string{"cluster/nodes", "meminfo"})...)...),
		"prefetched":     append(byExec("--prefetched"), argv("/proc", swept, nil)...),
		"mount":          argv(private, exact, changing),
		"shared, root":   argv(shared, exact, changing),
		"shared, alice":  append(as(alice), argv(shared, own, []string{"cluster/nodes", "meminfo"})...),
	} {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir = "/"
		if out, err := cmd.Output(); err != nil || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), "good ") {
			t.Errorf("%s: %v\n%s", what, err, out)
		} else {
			t.Logf("%s: %s", what, out)
		}
	}
	for _, dir := range []string{shared, private} {
		want, err := os.ReadFile(dir + "/" + process + "smaps")
		if got := toSocket(t, dir+"/"+process+"smaps"); err != nil || !slices.Equal(got, want) {
			t.Errorf("smaps to a socket: %d bytes, not %d, %v", len(got), len(want), err)
		}
	}
}

// toSocket is a file as io.Copy brings it through a socket: by sendfile(2).
func toSocket(t *testing.T, path string) []byte {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sent := make(chan error, 1)
	go func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			defer c.Close()
			var f *os.File
			if f, err = os.Open(path); err == nil {
				_, err = io.Copy(c, f)
				f.Close()
			}
		}
		sent <- err
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := io.ReadAll(c)
	if sending := <-sent; err != nil || sending != nil {
		t.Fatal(err, sending)
	}
	return got
}
