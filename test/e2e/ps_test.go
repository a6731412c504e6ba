package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/test/cluster"
)

// notCompared reports whether a row is of what ps itself is, of a process whose arguments
// ps shows in its own way, or of the leaf, which moves.
func notCompared(row string) bool {
	return strings.Contains(row, "ps -eo") || strings.Contains(row, "nasty") || strings.Contains(row, "procsrv") || strings.Contains(row, "nsenter")
}

// aggrfs ps shows of each node's processes what ps shows there.
func TestAggrfsPS(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "views: [{users: \"1001\", nodes: n1}]\n")
	fields := func(text string) (rows []string) {
		for line := range strings.Lines(text) {
			rows = append(rows, strings.Join(strings.Fields(line), " "))
		}
		slices.Sort(rows)
		return rows
	}
	native := func() (rows []string) {
		for i, n := range s.cluster.Nodes {
			for line := range strings.Lines(s.onNode(n, "ps", "-eo", "pid=,ppid=,user:20=,s=,args=")) {
				f := strings.Fields(line)
				if notCompared(line) {
					continue
				}
				if ppid, _ := strconv.Atoi(f[1]); ppid != 0 {
					f[1] = strconv.Itoa((i+1)*10_000_000 + ppid)
				}
				rows = append(rows, strings.Join(append(f, n.Name), " "))
			}
		}
		slices.Sort(rows)
		return rows
	}
	process := func(row string) string {
		f := strings.Fields(row)
		return f[0] + " on " + f[len(f)-1]
	}
	rows := s.sameRows("aggrfs ps", process, native, func() []string {
		got, err := s.aggrfs("ps", "--nodes", "n[1-2]", "--no-headers", "-o", "npid,ppid,user,stat,args,node")
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(fields(got), notCompared)
	})
	if rows < 14 {
		t.Errorf("only %d rows", rows)
	}
	if out, err := s.aggrfs("ps", "aux", "--sort", "-rss", "-u", "1002"); err != nil || strings.Count(out, "solver --user bob") < 2 || strings.Contains(out, "job of alice") {
		t.Errorf("ps aux -u 1002: %v\n%s", err, out)
	}
	s.openToAll()
	out, err := s.asUser(alice, "ps", "--server", s.server, "--no-headers", "-o", "node,user,args")
	if err != nil || !strings.Contains(out, "job of alice on n1") {
		t.Errorf("alice: %v\n%s", err, out)
	}
	for row := range strings.Lines(out) {
		if f := strings.Fields(row); f[0] != "n1" || f[1] != nameOf(cluster.Alice) {
			t.Errorf("alice sees %s", row)
		}
	}
}

// Without kernel threads aggrfs ps shows what ps shows without them, and so does ps on the tree by
// the idiom of docs/commands.md.
func TestWithoutKernelThreads(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	lines := func(text string) (pids []string) {
		pids = strings.Fields(text)
		slices.Sort(pids)
		return slices.DeleteFunc(pids, func(pid string) bool { return len(pid) > 7 })
	}
	native := func() []string {
		out, err := exec.Command("ps", "-N", "--ppid", "2", "-p", "2", "-o", "pid=").Output()
		if err != nil {
			t.Fatal(err)
		}
		return lines(string(out))
	}
	all, err := exec.Command("ps", "-eo", "pid=").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d processes of this pid namespace are kernel threads", len(lines(string(all)))-len(native()))
	text, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	_, idiom, ok := strings.Cut(string(text), "aggrfs exec -- sh -c '")
	idiom, _, _ = strings.Cut(idiom, "'\n")
	if !ok {
		t.Fatal("docs/commands.md has no idiom")
	}
	for name, run := range map[string]func() (string, error){
		"aggrfs ps": func() (string, error) { return s.aggrfs("ps", "--no-kernel", "--no-headers", "-o", "pid") },
		"the idiom": func() (string, error) {
			return s.aggrfs("exec", "--", "sh", "-c", strings.TrimSuffix(idiom, "-f")+"-o pid=")
		},
	} {
		s.eventuallyNil(name+" shows what ps shows", func() error {
			before := native()
			out, err := run()
			after := native()
			if err != nil {
				return err
			}
			got := lines(out)
			for _, pid := range before {
				if slices.Contains(after, pid) && !slices.Contains(got, pid) {
					return fmt.Errorf("%s is missing", pid)
				}
			}
			// What runs the command comes with it.
			if more := len(got) - max(len(before), len(after)); more > 8 || !strings.Contains(out, "10000001") {
				return fmt.Errorf("%d too many, or no process of the node: %s", more, out)
			}
			return nil
		})
	}
}
