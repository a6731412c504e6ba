package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/cluster"
)

// holder holds a socket, a pipe and a file.
const holder = `import os, socket, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
r, w = os.pipe(); f = open("/etc/passwd"); os.chdir("/etc"); time.sleep(1000)`

// The links of a node's process read as there and lead nowhere on this machine; what they name by
// a number has a number of the node's own, in the text and by stat(2), so that nothing of this
// machine, or of another node, is taken for it.
func TestLinksOfRemoteProcesses(t *testing.T) {
	vfstest.FuseForAll(t)
	s := newSite(t, cluster.Options{Nodes: 2}, "")
	var gpids, natives []string
	for i, n := range s.cluster.Nodes {
		pid, err := n.Spawn(cluster.Process{Argv: []string{"python3", "-c", holder}})
		if err != nil {
			t.Fatal(err)
		}
		host, err := n.HostPID(pid)
		if err != nil {
			t.Fatal(err)
		}
		native := fmt.Sprintf("/proc/%d", host)
		s.eventually("the process has opened all", func() bool { return len(list(t, native+"/fd")) >= 7 })
		gpids, natives = append(gpids, gpid(i+1, strconv.Itoa(pid))), append(natives, native)
	}
	dir := filepath.Join(s.mount(), gpids[0])
	kinds := map[string]int{}
	for _, fd := range list(t, natives[0]+"/fd") {
		want, err := os.Readlink(filepath.Join(natives[0], "fd", fd))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "fd", fd)
		got, err := os.Readlink(path)
		var here, there unix.Stat_t
		statErr := unix.Stat(path, &here)
		if err := unix.Stat(filepath.Join(natives[0], "fd", fd), &there); err != nil {
			t.Fatal(err)
		}
		kind, _, numbered := strings.Cut(want, ":[")
		if !numbered {
			kinds["file"]++
			if err != nil || !strings.HasSuffix(want, got) || statErr != unix.ENOENT {
				t.Errorf("fd %s reads %q (%v), and %q there; what it leads to: %v", fd, got, err, want, statErr)
			}
			continue
		}
		kinds[kind]++
		if got != fmt.Sprintf("%s:[%d]", kind, here.Ino) || here.Ino>>32 == 0 || kind == "socket" && uint32(here.Ino) != 0 || here.Mode&unix.S_IFMT != there.Mode&unix.S_IFMT || statErr != nil {
			t.Errorf("fd %s reads %q (%v), and %q there; what it leads to: %v, number %d, mode %o", fd, got, err, want, statErr, here.Ino, here.Mode)
		}
	}
	if kinds["file"] < 2 || kinds["socket"] != 1 || kinds["pipe"] < 2 {
		t.Errorf("there were %v", kinds)
	}
	for _, name := range []string{"exe", "cwd", "root"} {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, name), &st); err != unix.ENOENT {
			t.Errorf("%s leads to something of this machine: %v", name, err)
		}
	}
	// The user namespace of all nodes is the same object here, and on two machines it has the same number.
	var users [2]unix.Stat_t
	for i, g := range gpids {
		if err := unix.Stat(filepath.Join(filepath.Dir(dir), g, "ns/user"), &users[i]); err != nil {
			t.Fatal(err)
		}
	}
	if users[0].Ino == users[1].Ino || uint32(users[0].Ino) != uint32(users[1].Ino) {
		t.Errorf("namespaces of two nodes have the numbers %d and %d", users[0].Ino, users[1].Ino)
	}

	g := gpids[0]
	if got := strings.Fields(s.onAll("ps", "-o", "pidns=", "-o", "netns=", "-p", g)); len(got) != 2 || got[0] == "-" || got[1] == "-" {
		t.Errorf("ps shows the namespaces %q", got)
	}
	if out := s.onAll("sh", "-c", "lsof -p "+g+" 2>&1; true"); !strings.Contains(out, "FIFO") || !strings.Contains(out, "/etc/passwd") || strings.Contains(out, "unknown pipe") {
		t.Errorf("lsof shows %s", out)
	}
	if out := s.onAll("atop", "-PPRG", "1", "1"); !strings.Contains(out, " "+g+" (python3)") {
		t.Errorf("atop shows nothing of process %s:\n%s", g, out)
	}
	for _, script := range []string{
		"fuser /etc/passwd /etc /usr/bin/python3 /lib/x86_64-linux-gnu/libc.so.6", "lsof /etc/passwd", "lsof -nP -i", "ss -Hanptu", "pgrep --ns $$ --nslist user,net",
		"/usr/bin/python3 -c 'import psutil; print([c.pid for c in psutil.net_connections(\"all\")])'",
	} {
		out := s.onAll("bash", "-c", script+" 2>&1; true")
		for _, g := range gpids {
			if strings.Contains(out, g) {
				t.Errorf("%s names a process of a node, %s:\n%s", script, g, out)
			}
		}
		if strings.Contains(out, "rror") {
			t.Errorf("%s: %s", script, out)
		}
	}
}
