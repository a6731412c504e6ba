package e2e

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/test/cluster"
)

// A terminal of a node is none of the head's and none of another node's, whatever its number, for
// programs that go by that; aggrfs ps shows and selects by the name on the node.
func TestTerminals(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "")
	// What script(1) runs has a terminal of its own; the nodes have one /dev/pts between them, so
	// that the first of each may have one number or two: the head tells which.
	for _, n := range s.cluster.Nodes {
		pid, err := n.Spawn(cluster.Process{Argv: []string{"script", "-qfc", "exec sleep 654321", "/dev/null"}})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Signal(pid, unix.SIGKILL)
	}
	row := func(text, command string) []string {
		for line := range strings.Lines(text) {
			if f := strings.Fields(line); strings.HasSuffix(strings.TrimSpace(line), command) && !strings.Contains(line, "script") {
				return f
			}
		}
		return nil
	}
	numbers := map[string]bool{}
	for i, n := range s.cluster.Nodes {
		var native []string
		s.eventually("the terminal of "+n.Name, func() bool {
			native = row(s.onNode(n, "ps", "-eo", "pid,tty,args"), "sleep 654321")
			return native != nil
		})
		g := gpid(i+1, native[0])
		stat := strings.Fields(s.onTree("cat", "/proc/"+g+"/stat"))
		own := strings.Fields(s.onNode(n, "cat", "/proc/"+native[0]+"/stat"))
		if stat[6] == own[6] || stat[6] == "0" || numbers[stat[6]] {
			t.Errorf("the terminal of %s has the number %s, on the node %s; others have %v", g, stat[6], own[6], numbers)
		}
		numbers[stat[6]] = true

		if name := native[1]; name != "?" {
			out, err := s.aggrfs("ps", "--no-headers", "-o", "pid,tty,args", "-t", n.Name+":"+name)
			if f := row(out, "sleep 654321"); err != nil || f == nil || f[0] != g || f[1] != name {
				t.Errorf("aggrfs ps -t %s:%s: %v, %q", n.Name, name, err, out)
			}
			if out, err := s.aggrfs("ps", "--no-headers", "-o", "pid", "-t", "head:"+name); slices.Contains(strings.Fields(out), g) {
				t.Errorf("aggrfs ps -t head:%s: %v, %q", name, err, out)
			}
		}
		device, err := s.aggrfs("ps", "--no-headers", "-o", "tty", "-p", g)
		if err != nil || !strings.HasPrefix(device, "pts/") {
			t.Errorf("aggrfs ps -o tty of %s: %v, %q", g, err, device)
		}
		// ps on the head does not find it on the head's terminal of that name.
		if out, _ := s.aggrfs("exec", "--", "sh", "-c", "ps -t "+strings.TrimSpace(device)+" -o pid= || true"); slices.Contains(strings.Fields(out), g) {
			t.Errorf("ps -t %s shows %s", strings.TrimSpace(device), g)
		}
	}
}

// pstree on the tree begins with the head's pid 1; from 0 on it shows all nodes.
func TestPstreeOfAll(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "")
	out := s.onAll("pstree", "-p", "0")
	for _, want := range []string{"nodeinit(10000001)", "nodeinit(20000001)"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
}
