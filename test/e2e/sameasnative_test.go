package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/test/cluster"
)

// volatile are the files of a process that sleeps which still differ from one
// read to the next: they count what reading itself costs, or the time.
var volatile = map[string]string{
	"sched":       "counts run time",
	"schedstat":   "counts run time",
	"arch_status": "counts milliseconds",
	"tcp":         "shows running timers",
	"tcp6":        "shows running timers",
	"numa_maps":   "counts who else maps a page, the cat that reads it on the node among them",
}

// Every file of a quiet process read through the mount under nodes/<node> is
// byte for byte what the node's own /proc says.
func TestByteForByte(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "")
	dir := s.mount()
	n := s.cluster.Nodes[1]
	pid, err := n.Spawn(cluster.Process{UID: cluster.Alice, GID: cluster.Alice, Argv: []string{"sleep", "777777"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Signal(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	native, err := n.HostPID(1)
	if err != nil {
		t.Fatal(err)
	}
	own := fmt.Sprintf("/proc/%d/root/proc/%d", native, pid)
	ours := filepath.Join(dir, "nodes", n.Name, strconv.Itoa(pid))
	hidden := map[string]bool{"mem": true, "pagemap": true, "clear_refs": true}
	files, links := 0, 0
	err = filepath.WalkDir(own, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // a directory that even root may not read
		}
		rel, _ := filepath.Rel(own, path)
		other := filepath.Join(ours, rel)
		switch {
		case hidden[d.Name()]:
			if _, err := os.Lstat(other); err == nil {
				t.Errorf("%s is exported", rel)
			}
		case d.IsDir():
			a, b := list(t, path), list(t, other)
			a = slices.DeleteFunc(a, func(s string) bool { return hidden[s] })
			if !slices.Equal(a, b) {
				t.Errorf("%s lists\n%v\nthe node lists\n%v", rel, b, a)
			}
		case d.Type()&fs.ModeSymlink != 0:
			a, errA := os.Readlink(path)
			b, errB := os.Readlink(other)
			// The host sees the node's mount point before its root.
			if a != b && !strings.HasSuffix(a, b) || (errA == nil) != (errB == nil) {
				t.Errorf("%s -> %q (%v), on the node %q (%v)", rel, b, errB, a, errA)
			}
			links++
		case volatile[d.Name()] == "":
			sameFile(t, n, pid, path, other, rel)
			files++
		}
		return nil
	})
	if err != nil || files < 60 || links < 10 {
		t.Errorf("%d files and %d links compared, %v", files, links, err)
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// sameFile compares a file of the node's procfs with the one of the mount. It
// is read from here, not by a program on the node, whose own use of the
// libraries would change what smaps counts; but for stat, whose start time
// depends on the time namespace that its reader is in.
func sameFile(t *testing.T, n *cluster.Node, pid int, native, ours, name string) {
	t.Helper()
	read := func() ([]byte, error) { return os.ReadFile(native) }
	if filepath.Base(name) == "stat" {
		read = func() ([]byte, error) {
			return n.Command(t.Context(), "cat", fmt.Sprintf("/proc/%d/%s", pid, name)).Output()
		}
	}
	// What the kernel does to a process's pages, or other processes to the
	// network, changes some files between two reads: read them close together,
	// more than once.
	var want, got []byte
	var wantErr, gotErr error
	for range 5 {
		want, wantErr = read()
		got, gotErr = os.ReadFile(ours)
		if (wantErr == nil) == (gotErr == nil) && bytes.Equal(got, want) {
			return
		}
	}
	t.Errorf("%s:\n%q (%v)\non the node\n%q (%v)", name, got, gotErr, want, wantErr)
}

// No gpid off the head node can be taken for one of the head's processes.
func TestGPIDsAreNobodys(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	out := s.onTree("ps", "-eo", "pid=")
	pids := strings.Fields(out)
	foreign := 0
	for _, p := range pids {
		if atoi(t, p) > 4194304 {
			foreign++
		} else if name, err := os.ReadFile("/proc/" + p + "/comm"); err == nil {
			t.Errorf("%s (%s) is listed among the nodes' processes", p, bytes.TrimSpace(name))
		}
	}
	if foreign < 5 {
		t.Fatalf("ps shows %v", pids)
	}
	target := pids[len(pids)-1]
	for _, argv := range [][]string{{"kill", "-0", target}, {"/bin/kill", "-0", target}, {"renice", "5", "-p", target}, {"strace", "-p", target}} {
		cmd := exec.Command(filepath.Join(bin, "aggrfs"), append([]string{"exec", "--server", s.server, "--no-control", "--", "bash", "-c", `"$@"`, "-"}, argv...)...)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(strings.ToLower(string(out)), "no such process") {
			t.Errorf("%v: %v, %q", argv, err, out)
		}
	}
}

// Names with newlines, escape sequences, spaces and parentheses break no row of
// any table and no parse.
func TestNastyNames(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	n := s.cluster.Nodes[0]
	native := strings.Fields(s.onNode(n, "pgrep", "-f", "nasty"))[0]
	g := gpid(1, native)
	for _, argv := range [][]string{{"ps", "-ef"}, {"ps", "aux"}, {"ps", "-eLf"}, {"ps", "-o", "pid,comm,args", "-p", g}} {
		out := s.onTree(argv...)
		if strings.Count(out, g) == 0 {
			t.Errorf("%v does not show %s", argv, g)
		}
		if strings.ContainsAny(out, "\x1b") {
			t.Errorf("%v prints an escape sequence", argv)
		}
		for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
			if len(strings.Fields(line)) < 3 {
				t.Errorf("%v: a broken row %q", argv, line)
			}
		}
	}
	where, err := s.aggrfs("where", g)
	if err != nil || strings.Count(where, "\n") != 2 || strings.Contains(where, "\x1b") || !strings.Contains(where, `\n`) {
		t.Errorf("where: %v, %q", err, where)
	}
	if where2, err := s.aggrfs("where", n.Name+":"+native); err != nil || where2 != where {
		t.Errorf("by node and pid: %v, %q", err, where2)
	}
	if _, err := s.aggrfs("where", "n1:4000000"); err == nil || !strings.Contains(err.Error(), "no process") {
		t.Errorf("where of nobody: %v", err)
	}
	status := s.onTree("cat", "/proc/"+g+"/status")
	if !strings.Contains(status, "\nPid:\t"+g+"\n") {
		t.Errorf("status: %q", status)
	}
}
