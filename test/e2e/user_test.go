package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/cluster"
)

// reachable lets every user reach a file below a temporary directory.
func reachable(t *testing.T, path string) {
	t.Helper()
	for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// asUser runs aggrfs as a user, see asUserArgs.
func (s *site) asUser(who vfs.Identity, args ...string) (string, error) {
	s.t.Helper()
	argv := s.asUserArgs(who, args...)
	return output(exec.Command(argv[0], argv[1:]...))
}

// asUserArgs is the command for aggrfs as a user, on a machine whose /dev/fuse is for everybody,
// as distributions have it: in a mount namespace with a device of its own.
func (s *site) asUserArgs(who vfs.Identity, args ...string) []string {
	s.t.Helper()
	reachable(s.t, strings.TrimPrefix(s.server, "unix:"))
	reachable(s.t, filepath.Join(bin, "aggrfs"))
	device := filepath.Join(s.cluster.Dir, "fuse")
	if _, err := os.Lstat(device); err != nil {
		if err := unix.Mknod(device, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 229))); err != nil {
			s.t.Fatal(err)
		}
		if err := os.Chmod(device, 0o666); err != nil {
			s.t.Fatal(err)
		}
	}
	argv := append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-c", `mount --bind "$0" /dev/fuse && exec "$@"`, device}, as(who)...)
	return append(append(argv, filepath.Join(bin, "aggrfs")), args...)
}

// An ordinary user asks the server, and runs programs on what they may see, with
// nothing but their own rights; nobody else's processes exist.
func TestOrdinaryUser(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "views: [{users: \"1001\", nodes: n1}]\n")
	alice := vfs.Identity{UID: cluster.Alice, GID: cluster.Alice}
	n := s.cluster.Nodes[0]
	if out, err := s.asUser(alice, "nodes", "--server", s.server); err != nil || !strings.Contains(out, "n1") || strings.Contains(out, "n2") {
		t.Errorf("nodes: %v, %q", err, out)
	}
	if out, err := s.asUser(alice, "whoami", "--server", s.server); err != nil || !strings.Contains(out, "aggrfs.yaml:") || !strings.Contains(out, "1: n1") {
		t.Errorf("whoami: %v, %q", err, out)
	}
	alices := strings.Fields(s.onNode(n, "pgrep", "-u", "1001", "sh"))[0]
	if out, err := s.asUser(alice, "where", "--server", s.server, n.Name+":"+alices); err != nil || !strings.Contains(out, "alice") {
		t.Errorf("where of an own process: %v, %q", err, out)
	}
	if out, err := s.asUser(alice, "where", "--server", s.server, n.Name+":1"); err == nil {
		t.Errorf("where of root's process: %q", out)
	}
	if out, err := s.asUser(alice, "nodes", "--server", s.server, "--as", "root"); err == nil {
		t.Errorf("--as root: %q", out)
	}

	out, err := s.asUser(alice, "exec", "--server", s.server, "--", "sh", "-c", "id -u; id -g; grep -E '^(Cap(Prm|Eff)|NoNewPrivs)' /proc/self/status; ps -eo pid=,uid=,args=")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1001\n1001\n", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"} {
		if !strings.Contains(out, want) {
			t.Errorf("exec: there is no %q in\n%s", want, out)
		}
	}
	native := map[string]string{}
	for line := range strings.Lines(s.onNode(n, "ps", "-u", "1001", "-o", "pid=,args=")) {
		f := strings.SplitN(strings.TrimSpace(line), " ", 2)
		pid, _ := strconv.Atoi(f[0])
		native[strconv.Itoa(10_000_000+pid)] = f[1]
	}
	seen := 0
	for line := range strings.Lines(out) {
		f := strings.SplitN(strings.Join(strings.Fields(line), " "), " ", 3)
		if g, err := strconv.Atoi(f[0]); err != nil || g < 10_000_000 || len(f) < 3 {
			continue // the user's own ones here, and what else was printed
		}
		if native[f[0]] != f[2] || f[1] != "1001" {
			t.Errorf("ps shows %q; on the node it is %q", line, native[f[0]])
		}
		seen++
	}
	if seen != len(native) || seen == 0 {
		t.Errorf("ps shows %d of %d processes:\n%s", seen, len(native), out)
	}
}
