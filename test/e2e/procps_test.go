package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aggrfs/aggrfs/test/cluster"
)

// Unmodified procps and psmisc on the tree of three nodes show what they show
// on each of the nodes.
func TestProcps(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 3}, "cgroup_node: false\n")

	// Tables: columns that count time or load differ from one moment to the
	// next, or belong to the whole machine; all others must be the same.
	moving := []string{"C", "STIME", "TIME", "TIME+", "START", "%CPU", "%MEM", "ELAPSED", "STARTED"}
	for _, tc := range []struct {
		argv    []string
		command string // the column with the command
		key     string
	}{
		{argv: []string{"ps", "-ef"}, command: "CMD", key: "PID"},
		{argv: []string{"ps", "aux"}, command: "COMMAND", key: "PID"},
		{argv: []string{"ps", "-eLf"}, command: "CMD", key: "LWP"},
		{argv: []string{"ps", "-eo", "pid,ppid,pgid,sid,tgid,tty,stat,ni,pri,cls,nlwp,wchan,rss,vsz,uid,gid,euser,group,comm"}, command: "COMMAND", key: "PID"},
		{argv: []string{"ps", "-eo", "pid,cgroup,comm"}, command: "COMMAND", key: "PID"},
	} {
		t.Run(strings.Join(tc.argv, " "), func(t *testing.T) {
			s.t = t
			got := foreign(parse(t, s.onTree(tc.argv...)), tc.key)
			var want []row
			for i, n := range s.cluster.Nodes {
				for _, r := range parse(t, s.onNode(n, tc.argv...)) {
					if r["PPID"] != "0" || r["PID"] == "1" || tc.key == "" {
						want = append(want, toGlobal(r, i+1))
					}
				}
			}
			got, want = settled(got, tc.command), settled(notTool(want, tc.command, tc.argv), tc.command)
			compare(t, got, want, tc.key, moving...)
			once(t, got, tc.key)
		})
	}

	t.Run("ps --forest", func(t *testing.T) {
		s.t = t
		argv := []string{"ps", "-eo", "pid,args", "--forest"}
		got := branches(t, s.onTree(argv...))
		for i, n := range s.cluster.Nodes {
			var want, have []string
			for _, b := range branches(t, s.onNode(n, argv...)) {
				// ps draws the children of pid 1, and of it alone, at the left edge.
				if !strings.HasSuffix(b.command, strings.Join(argv, " ")) {
					want = append(want, fmt.Sprintf("%s %d %s", gpid(i+1, b.pid), b.depth+1, b.command))
				}
			}
			for _, b := range got {
				if strings.HasPrefix(b.pid, fmt.Sprint(i+1)) && len(b.pid) == 8 {
					have = append(have, fmt.Sprintf("%s %d %s", b.pid, b.depth, b.command))
				}
			}
			if diff := cmp.Diff(want, have); diff != "" || len(have) < 5 {
				t.Errorf("%s's part of the forest (-node +merged):\n%s", n.Name, diff)
			}
		}
	})

	t.Run("top -b", func(t *testing.T) {
		s.t = t
		for _, argv := range [][]string{{"top", "-b", "-n1", "-w", "400"}, {"top", "-H", "-b", "-n1", "-w", "400"}} {
			got := settled(foreign(parse(t, topRows(t, s.onTree(argv...))), "PID"), "COMMAND")
			var want []row
			for i, n := range s.cluster.Nodes {
				for _, r := range settled(notTool(parse(t, topRows(t, s.onNode(n, argv...))), "COMMAND", argv), "COMMAND") {
					want = append(want, toGlobal(r, i+1))
				}
			}
			compare(t, got, want, "PID", moving...)
			once(t, got, "PID")
		}
	})

	t.Run("start times", func(t *testing.T) {
		s.t = t
		argv := []string{"ps", "-eo", "pid,etimes,lstart,comm"}
		now := map[string][2]time.Time{}
		add := func(rows []row, index int, which int) {
			for _, r := range rows {
				fields := strings.Fields(r["STARTED"] + " " + r["COMMAND"])
				at, err := time.ParseInLocation("Mon Jan _2 15:04:05 2006", strings.Join(fields[:5], " "), time.Local)
				if err != nil {
					t.Fatalf("%v: %v", r, err)
				}
				pair := now[gpid(index, r["PID"])]
				pair[which] = at
				now[gpid(index, r["PID"])] = pair
			}
		}
		add(foreign(parse(t, s.onTree(argv...)), "PID"), 0, 0)
		for i, n := range s.cluster.Nodes {
			add(parse(t, s.onNode(n, argv...)), i+1, 1)
		}
		compared := 0
		for pid, at := range now {
			if at[0].IsZero() || at[1].IsZero() {
				continue // the tools themselves
			}
			compared++
			if d := at[0].Sub(at[1]).Abs(); d > time.Second {
				t.Errorf("%s started at %v here and at %v on its node", pid, at[0], at[1])
			}
		}
		if compared < 3*5 {
			t.Errorf("only %d processes were compared", compared)
		}
	})
}

// A branch is a line of ps --forest.
type branch struct {
	pid, command string
	depth        int
}

// branches reads "pid,args" with a forest, without the init and the leaf.
func branches(t *testing.T, text string) []branch {
	t.Helper()
	header, rest, _ := strings.Cut(text, "\n")
	column := strings.Index(header, "COMMAND")
	var out []branch
	for line := range strings.Lines(rest) {
		line = strings.TrimSuffix(line, "\n")
		b := branch{pid: strings.TrimSpace(line[:column]), command: line[column:]}
		if i := strings.Index(b.command, "\\_ "); i >= 0 && strings.Trim(b.command[:i], " |") == "" {
			b.depth, b.command = i/4+1, b.command[i+3:]
		}
		if !strings.Contains(b.command, "nodeinit") && !strings.Contains(b.command, "procsrv") {
			out = append(out, b)
		}
	}
	return out
}

// foreign are the rows of processes of other nodes than the head.
func foreign(rows []row, key string) []row {
	var out []row
	for _, r := range rows {
		if len(r[key]) > 7 {
			out = append(out, r)
		}
	}
	return out
}

// notTool leaves out the rows of the tool itself.
func notTool(rows []row, command string, argv []string) []row {
	var out []row
	for _, r := range rows {
		c := r[command]
		if strings.HasSuffix(c, strings.Join(argv, " ")) || c == argv[0] {
			continue
		}
		out = append(out, r)
	}
	return out
}

// once checks that no process is shown twice.
func once(t *testing.T, rows []row, key string) {
	t.Helper()
	seen := map[string]bool{}
	for _, r := range rows {
		if seen[r[key]] {
			t.Errorf("%s is shown twice", r[key])
		}
		seen[r[key]] = true
	}
}

// topRows is the table below top's summary.
func topRows(t *testing.T, text string) string {
	t.Helper()
	_, table, ok := strings.Cut(text, "\n\n")
	if !ok {
		t.Fatalf("top printed %q", text)
	}
	return table
}

// The small tools, each beside its run on the node.
func TestSmallTools(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "")
	solver := strings.Fields(s.onNode(s.cluster.Nodes[1], "pgrep", "-f", "solver"))[0]

	t.Run("pgrep", func(t *testing.T) {
		s.t = t
		var want []string
		for i, n := range s.cluster.Nodes {
			for _, pid := range strings.Fields(s.onNode(n, "pgrep", "-f", "sleep|solver")) {
				want = append(want, gpid(i+1, pid))
			}
		}
		got := strings.Fields(s.onTree("pgrep", "-f", "sleep|solver"))
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("pidof", func(t *testing.T) {
		s.t = t
		got := strings.Fields(s.onTree("pidof", "sleep"))
		var want []string
		for i, n := range s.cluster.Nodes {
			for _, pid := range strings.Fields(s.onNode(n, "pidof", "sleep")) {
				want = append(want, gpid(i+1, pid))
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("pmap", func(t *testing.T) {
		s.t = t
		g := gpid(2, solver)
		got, want := s.onTree("pmap", g), s.onNode(s.cluster.Nodes[1], "pmap", solver)
		if strings.TrimPrefix(got, g) != strings.TrimPrefix(want, solver) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
	t.Run("pwdx", func(t *testing.T) {
		s.t = t
		g := gpid(2, solver)
		got, want := s.onTree("pwdx", g), s.onNode(s.cluster.Nodes[1], "pwdx", solver)
		if strings.TrimPrefix(got, g) != strings.TrimPrefix(want, solver) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("pstree", func(t *testing.T) {
		s.t = t
		got := s.onTree("pstree", "-p", "-l", gpid(2, "1"))
		want := s.onNode(s.cluster.Nodes[1], "pstree", "-p", "-l", "1")
		for line := range strings.Lines(s.onNode(s.cluster.Nodes[1], "ps", "-eo", "pid=")) {
			pid := strings.TrimSpace(line)
			if strings.Contains(want, "("+pid+")") && !strings.Contains(got, "("+gpid(2, pid)+")") {
				t.Errorf("%s is not in\n%s", gpid(2, pid), got)
			}
		}
		// The leaf and the init come and go with threads; all else is the same.
		if a, b := steadyLines(got), steadyLines(want); a != b {
			t.Errorf("%d lines, %d on the node; got\n%s\nwant the form of\n%s", a, b, got, want)
		}
	})
	t.Run("the machine", func(t *testing.T) {
		s.t = t
		for _, argv := range [][]string{{"uptime"}, {"free"}, {"vmstat"}, {"vmstat", "-s"}, {"w"}, {"slabtop", "-o"}} {
			if out := s.onTree(argv...); out == "" {
				t.Errorf("%v printed nothing", argv)
			}
		}
		one, two := memTotal(t, s.onNode(s.cluster.Nodes[0], "free")), memTotal(t, s.onTree("free"))
		if want := fmt.Sprint(2 * atoi(t, one)); two != want {
			t.Errorf("two nodes have %s kB, want %s", two, want)
		}
	})
}

func steadyLines(tree string) int {
	n := 0
	for line := range strings.Lines(tree) {
		if !strings.Contains(line, "{procsrv}") && !strings.Contains(line, "{nodeinit}") {
			n++
		}
	}
	return n
}

// memTotal is the first number that free prints, in kB.
func memTotal(t *testing.T, free string) string {
	t.Helper()
	_, rest, ok := strings.Cut(free, "Mem:")
	if !ok {
		t.Fatalf("free printed %q", free)
	}
	return strings.Fields(rest)[0]
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
