package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/cluster"
)

// openToAll lets every user reach the front end and the programs.
func (s *site) openToAll() {
	s.t.Helper()
	dirs := []string{bin}
	for dir := filepath.Dir(strings.TrimPrefix(s.server, "unix:")); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		dirs = append(dirs, dir)
	}
	for _, dir := range dirs {
		if err := os.Chmod(dir, 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
}

// An ordinary user runs a command on the tree as their view has it, and start
// times on nodes that booted before this machine are right, for root as well.
func TestExecAsUser(t *testing.T) {
	vfstest.FuseForAll(t)
	s := newSite(t, cluster.Options{Nodes: 2}, "views: [{users: \"1001\", nodes: all}]\n")
	s.openToAll()
	n := s.cluster.Nodes[1] // the older
	script := `native=/proc/.native; readlink $native/self/ns/user; id -u; uptime -s; exec ps -eo pid,uid,lstart`
	run := map[string][]string{
		"user": {"setpriv", "--reuid", "1001", "--regid", "1001", "--clear-groups", filepath.Join(bin, "aggrfs")},
		"root": {filepath.Join(bin, "aggrfs")},
	}
	for name, argv := range run {
		out, err := output(exec.Command(argv[0], append(argv[1:], "exec", "--server", s.server, "--nodes", n.Name, "--", "sh", "-c", script)...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		lines := strings.Split(out, "\n")
		if id := map[string]string{"user": "1001", "root": "0"}[name]; lines[1] != id {
			t.Errorf("%s runs as %s", name, lines[1])
		}
		booted := func(text string) time.Time {
			at, err := time.Parse(time.DateTime, strings.TrimSpace(text))
			if err != nil {
				t.Fatal(name, err)
			}
			return at
		}
		if here, there := booted(lines[2]), booted(s.onNode(n, "uptime", "-s")); here.Sub(there).Abs() > 3*time.Second {
			t.Errorf("%s: the command's machine booted at %v, the node at %v", name, here, there)
		}
		got, want := strings.Join(lines[3:], "\n"), s.onNode(n, "ps", "-eo", "pid,uid,lstart")
		theirs := map[string]row{}
		for _, r := range parse(t, want) {
			theirs[gpid(2, r["PID"])] = r
		}
		found := 0
		for _, r := range parse(t, got) {
			w, there := theirs[r["PID"]]
			if name == "user" && r["UID"] != "1001" {
				t.Errorf("the user sees %v", r)
			}
			if !there {
				continue // has ended
			}
			found++
			if d := started(t, r).Sub(started(t, w)); d.Abs() > time.Second {
				t.Errorf("%s: %v started %v later than on the node", name, r, d)
			}
		}
		if found < 3 {
			t.Errorf("%s sees %d of the node's processes:\n%s\nand there are:\n%s", name, found, got, want)
		}
	}
}

// started is the time that a row of ps -o lstart tells.
func started(t *testing.T, r row) time.Time {
	t.Helper()
	at, err := time.Parse(time.ANSIC, r["STARTED"])
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// With --one-cpu, and with --prefetched if not told otherwise, the command has one CPU;
// else it has all.
func TestExecOnOneCPU(t *testing.T) {
	vfstest.FuseForAll(t)
	s := newSite(t, cluster.Options{Nodes: 1}, "views: [{users: \"1001\", nodes: all}]\n")
	s.openToAll()
	all := strings.TrimSpace(must(t, exec.Command("nproc")))
	aggrfs := []string{filepath.Join(bin, "aggrfs")}
	for name, as := range map[string][]string{
		"root": aggrfs,
		"user": append([]string{"setpriv", "--reuid", "1001", "--regid", "1001", "--clear-groups"}, aggrfs...),
	} {
		for flags, want := range map[string]string{
			"": all, "--one-cpu": "1", "--prefetched": "1", "--prefetched --one-cpu=false": all,
		} {
			argv := append(append(append(as[1:len(as):len(as)], "exec", "--server", s.server), strings.Fields(flags)...), "--", "nproc")
			if got := strings.TrimSpace(must(t, exec.Command(as[0], argv...))); got != want {
				t.Errorf("%s with %q has %s CPUs, not %s", name, flags, got, want)
			}
		}
	}
}

func must(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := output(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
