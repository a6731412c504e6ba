package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

// At a terminal aggrfs ps cuts its lines at the edge and tells the local time, elsewhere neither;
// how long processes have run is what ps on their node says.
func TestPSAtTerminal(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	n := s.cluster.Nodes[0]
	long := strings.Repeat("x", 300)
	pid, err := n.Spawn(cluster.Process{Argv: []string{"sh", "-c", "while :; do sleep 1000; done", long}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Signal(pid, unix.SIGKILL)
	which := "n1:" + strconv.Itoa(pid)
	command := filepath.Join(bin, "aggrfs") + " ps --server " + s.server + " -o npid,start,args -p " + which
	for _, width := range []int{20, 50, 500} {
		cmd := exec.Command("script", "-qec", fmt.Sprintf("stty cols %d && TZ=Asia/Tokyo %s", width, command), "/dev/null")
		out, err := output(cmd)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		whole := width == 500
		for line := range strings.Lines(out) {
			if line = strings.TrimRight(line, "\r\n"); len(line) > width || !whole && strings.HasPrefix(strings.TrimSpace(line), strconv.Itoa(pid)) && len(line) != width {
				t.Errorf("a line of %d characters at a terminal of %d: %q", len(line), width, line)
			}
		}
		if strings.Contains(out, long) != whole {
			t.Errorf("at a terminal of %d characters:\n%s", width, out)
		}
		if !whole {
			continue
		}
		piped, err := s.aggrfs("ps", "--no-headers", "-o", "start", "-p", which)
		if err != nil {
			t.Fatal(err)
		}
		began, err := time.Parse(time.RFC3339, strings.TrimSpace(piped))
		if err != nil {
			t.Fatal(err)
		}
		if want := began.Add(9 * time.Hour).Format("2006-01-02 15:04:05"); !strings.Contains(out, want) {
			t.Errorf("%s is not among\n%s", want, out)
		}
	}
	if out, err := s.aggrfs("ps", "-o", "args", "-p", which); err != nil || !strings.Contains(out, long) {
		t.Errorf("in a pipe: %v\n%s", err, out)
	}
	if out, err := s.aggrfs("ps", "-o", "help"); err != nil || !strings.Contains(out, "%cpu ") || !strings.Contains(out, "tty ") {
		t.Errorf("-o help: %v\n%s", err, out)
	}
	s.eventually("times of ps", func() bool {
		own := strings.Fields(s.onNode(n, "ps", "-o", "etimes=,etime=", "-p", strconv.Itoa(pid)))
		out, err := s.aggrfs("ps", "--no-headers", "-o", "etimes,elapsed", "-p", which)
		return err == nil && slices.Equal(strings.Fields(out), own)
	})
}

// --where selects the processes of which each node's own ps says the same.
func TestPSWhere(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "")
	for i, n := range s.cluster.Nodes {
		pid, err := n.Spawn(cluster.Process{UID: cluster.Bob, GID: cluster.Bob, Argv: []string{"sleep", strconv.Itoa(720001 + i)}})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Signal(pid, unix.SIGKILL)
	}
	root := nameOf(0)
	for expression, is := range map[string]func(f []string) bool{
		`rss > 512*KiB && user != "root"`:                      func(f []string) bool { return number(t, f[1]) > 512 && f[2] != root },
		`rss <= 2*MiB or args startsWith "sleep"`:              func(f []string) bool { return number(t, f[1]) <= 2<<10 || f[5] == "sleep" },
		`args matches "^sleep 7200" and npid > 1`:              func(f []string) bool { return f[5] == "sleep" && strings.HasPrefix(f[6], "7200") },
		`ppid == 0 || user in ["` + nameOf(cluster.Bob) + `"]`: func(f []string) bool { return f[4] == "0" || f[2] == nameOf(cluster.Bob) },
	} {
		native := func() (rows []string) {
			for _, n := range s.cluster.Nodes {
				for line := range strings.Lines(s.onNode(n, "ps", "-eo", "pid=,rss=,user:20=,s=,ppid=,args=")) {
					f := strings.Fields(line)
					if notCompared(line) {
						continue
					}
					if is(f) {
						rows = append(rows, f[0]+" "+n.Name)
					}
				}
			}
			slices.Sort(rows)
			return rows
		}
		compared := s.sameRows("--where "+expression, func(row string) string { return row }, native, func() (rows []string) {
			got, err := s.aggrfs("ps", "--nodes", "n[1-2]", "--no-headers", "-o", "npid,node,args", "--where", expression)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(got) {
				if !notCompared(line) {
					rows = append(rows, strings.Join(strings.Fields(line)[:2], " "))
				}
			}
			slices.Sort(rows)
			return rows
		})
		if compared < 2 {
			t.Errorf("--where %s selects %d", expression, compared)
		}
	}
	if _, err := s.aggrfs("ps", "--where", `user == 5`); err == nil || !strings.Contains(err.Error(), "\n       ^\n") {
		t.Errorf("%v", err)
	}
	if out, err := s.aggrfs("kill", "-y", "--where", `args == "sleep 720002"`, "--dry-run", "--nodes", "n[1-2]"); err == nil || !strings.Contains(out, "sleep 720002") || strings.Contains(out, "720001") {
		t.Errorf("%v\n%s", err, out)
	}
}

// More of each process is what ps shows of it on its node.
func TestPSDetails(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "views: [{users: \"1001\", nodes: all, processes: own}]\n")
	s.openToAll()
	for _, n := range s.cluster.Nodes {
		for _, argv := range [][]string{{"nice", "-n", "7", "sleep", "730001"}, {"chrt", "-f", "5", "sleep", "730002"}, {"chrt", "-b", "0", "sleep", "730003"}} {
			pid, err := n.Spawn(cluster.Process{Argv: argv})
			if err != nil {
				t.Fatal(err)
			}
			defer n.Signal(pid, unix.SIGKILL)
		}
	}
	rows := func(text, node string) (all []string) {
		for line := range strings.Lines(text) {
			if !notCompared(line) && !strings.Contains(line, "nice -n") && !strings.Contains(line, "chrt ") {
				all = append(all, strings.Join(strings.Fields(line + " " + node)[:7], " "))
			}
		}
		return all
	}
	native := func() (all []string) {
		for _, n := range s.cluster.Nodes {
			for _, row := range rows(s.onNode(n, "ps", "-eo", "pid=,vsz=,nlwp=,ni=,pri=,pmem=,args="), "") {
				f := strings.Fields(row)
				all = append(all, strings.Join(append([]string{n.Name}, f[:6]...), " "))
			}
		}
		slices.Sort(all)
		return all
	}
	compared := s.sameRows("details", func(row string) string { return strings.Join(strings.Fields(row)[:2], " ") }, native, func() []string {
		out, err := s.aggrfs("ps", "--nodes", "n[1-2]", "--no-headers", "-o", "node,npid,vsz,nlwp,ni,pri,%mem,args")
		if err != nil {
			t.Fatal(err)
		}
		all := rows(out, "")
		slices.Sort(all)
		return all
	})
	if compared < 10 {
		t.Errorf("only %d rows", compared)
	}
	for _, tc := range []struct{ where, want string }{{"ni >= 7 && args endsWith \"1\"", "sleep 730001"}, {"pri > 40 && nlwp == 1", "sleep 730002"}} {
		out, err := s.aggrfs("ps", "--nodes", "n1", "--no-headers", "-o", "args", "--sort", "-vsz", "--where", tc.where+` && args startsWith "sleep 73"`)
		if err != nil || strings.TrimSpace(out) != tc.want {
			t.Errorf("--where %s: %v\n%s", tc.where, err, out)
		}
	}
	// Who sees their own alone is told of no other.
	out, err := s.asUser(alice, "ps", "--server", s.server, "--no-headers", "-o", "user,vsz,nlwp,ni,%mem,args")
	if err != nil || !strings.Contains(out, "job of alice") || strings.Contains(out, "730001") {
		t.Errorf("alice: %v\n%s", err, out)
	}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); f[1] == "-" || f[4] == "-" {
			t.Errorf("alice is not told of her own: %s", line)
		}
	}
	tree, err := s.asUser(alice, "exec", "--server", s.server, "--", "cat", "/proc/cluster/details")
	if err != nil || strings.Count(tree, "\n") > strings.Count(out, "\n")+8 {
		t.Errorf("alice's cluster/details: %v\n%s", err, tree)
	}
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
