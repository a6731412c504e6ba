package main

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// tools tries the tools on the tree: what they show is what they show natively,
// once for the head and once for n1. Who is not root sees their own processes.
func (g *guest) tools(d dialect, w way) {
	on9p := func(what string, do func(c *check, dir string)) {
		g.check(name(what, d, w), func(c *check) {
			dir, unmount := mount(c, d, w, 0, "access=user,msize=65536")
			defer unmount()
			do(c, dir)
		})
	}
	on9p("ps", func(c *check, dir string) {
		argv, columns := []string{"ps", "-eo", "pid,ppid,pgid,sid,tty,ni,uid,gid,euser,args"}, 10
		if !d.users { // the owners of files are not those of the processes
			argv, columns = []string{"ps", "-eo", "pid,ppid,pgid,sid,tty,ni,ruid,rgid,args"}, 9
		}
		w.compare(c, dir, argv, func(text string) table { return parse(text, columns, []int{0, 1, 2, 3}) })
	})
	on9p("top -b", func(c *check, dir string) {
		w.compare(c, dir, []string{"top", "-b", "-n1", "-w", "400"}, func(text string) table {
			_, rows, _ := strings.Cut(text, "\n\n")
			t := parse(rows, 12, []int{0})
			if !d.users {
				return t.columns(0, 2, 3, 11)
			}
			return t.columns(0, 1, 2, 3, 11)
		})
	})
	on9p("pgrep", func(c *check, dir string) {
		argv := []string{"pgrep", "-f", "sleep 10000[0-9]"}
		if w.uid != 0 {
			argv = append(argv, "-u", strconv.Itoa(w.uid))
		}
		want := strings.Fields(output(c, as(c, 0, argv...)))
		for i, pid := range want {
			want[i] = global(pid)
			want = append(want, pid)
		}
		slices.SortFunc(want, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
		got := strings.Fields(output(c, on(c, dir, w.uid, argv...)))
		if len(want) < 12 || !slices.Equal(got, want) {
			c.errorf("got %v, want %v", got, want)
		}
	})
	// It looks at so much of each process that those of one user have to do.
	g.check(name("pstree", d, w), func(c *check) {
		dir, unmount := mount(c, d, w, 0, "access=user,msize=65536")
		defer unmount()
		dir += "/users/ann"
		shell, _, _ := strings.Cut(output(c, as(c, 0, "pgrep", "-x", "-u", "ann", "sh")), "\n")
		argv := []string{"pstree", "-p", "-a", "-A", "-l"}
		want := output(c, as(c, 0, append(argv, shell)...))
		if got := output(c, on(c, dir, w.uid, append(argv, shell)...)); got != want || strings.Count(want, "\n") != 2 {
			c.errorf("got\n%s\nwant\n%s", got, want)
		}
		want = ownPID.ReplaceAllStringFunc(want, func(s string) string { return "," + global(s[1:]) })
		if got := output(c, on(c, dir, w.uid, append(argv, global(shell))...)); got != want {
			c.errorf("on n1: got\n%s\nwant\n%s", got, want)
		}
	})
}

// ownPID is a pid behind the name of its process, as pstree -a has it.
var ownPID = regexp.MustCompile(`,\d+`)

// global is the pid that a process of n1 has in the tree; there is no process 0.
func global(pid string) string {
	n, err := strconv.Atoi(pid)
	if err != nil || n == 0 {
		return pid
	}
	return strconv.Itoa(n + 10_000_000)
}

// A table is what a tool prints, a row for each process.
type table struct {
	rows map[string][]string // by pid, the first column
	pids []int               // columns with pids
	dup  []string            // pids that are there twice
}

// working is what a worker of the kernel works on at the moment, which it shows behind its name.
var working = regexp.MustCompile(`(kworker/[^-+\] ]*)[-+][^\] ]*`)

// parse reads a table of n columns, the last of which may have blanks in it.
func parse(text string, n int, pids []int) table {
	t := table{rows: make(map[string][]string), pids: pids}
	_, text, _ = strings.Cut(text, "\n")
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < n {
			continue
		}
		row := append(f[:n-1:n-1], working.ReplaceAllString(strings.Join(f[n-1:], " "), "$1"))
		pid := row[pids[0]]
		if _, twice := t.rows[pid]; twice {
			t.dup = append(t.dup, pid)
		}
		t.rows[pid] = row
	}
	return t
}

// hide makes the pids of others 0, as a view of one's own processes has them: a parent, or
// the leader of a process group or session.
func (t table) hide(whose []string) {
	for _, row := range t.rows {
		for _, i := range t.pids {
			if i > 0 && !slices.Contains(whose, row[i]) {
				row[i] = "0"
			}
		}
	}
}

// columns is the table with these columns only, the pid first.
func (t table) columns(keep ...int) table {
	for pid, row := range t.rows {
		var kept []string
		for _, k := range keep {
			kept = append(kept, row[k])
		}
		t.rows[pid] = kept
	}
	for i, p := range t.pids {
		t.pids[i] = slices.Index(keep, p)
	}
	return t
}

// compare compares a table of the tree with native ones from before and after:
// each process that is in both as it was is there, and none that never was.
func (w way) compare(c *check, dir string, argv []string, read func(string) table) {
	before := read(output(c, as(c, 0, argv...)))
	ours := read(output(c, on(c, dir, w.uid, argv...)))
	after := read(output(c, as(c, 0, argv...)))
	least := 60
	if w.uid != 0 {
		least = 12
		whose := strings.Fields(output(c, as(c, 0, "pgrep", "-u", strconv.Itoa(w.uid))))
		maps.DeleteFunc(before.rows, func(pid string, _ []string) bool { return !slices.Contains(whose, pid) })
		before.hide(whose)
		after.hide(whose)
	}
	for _, pid := range ours.dup {
		c.errorf("%s is there twice", pid)
	}
	compared := 0
	for pid, row := range before.rows {
		if !slices.Equal(after.rows[pid], row) {
			continue
		}
		there := slices.Clone(row)
		for _, i := range before.pids {
			there[i] = global(there[i])
		}
		for _, want := range [][]string{row, there} {
			if got := ours.rows[want[0]]; !slices.Equal(got, want) {
				c.errorf("%s: got %q, want %q", want[0], got, want)
			}
			compared++
		}
	}
	for pid, row := range ours.rows {
		n, _ := strconv.Atoi(pid)
		_, was := before.rows[strconv.Itoa(n%10_000_000)]
		command := row[len(row)-1]
		if !was && command != argv[0] && !strings.HasPrefix(command, strings.Join(argv, " ")) {
			c.errorf("%q is no process of this machine", row)
		}
	}
	if compared < least {
		c.errorf("only %d rows were compared", compared)
	}
	c.notef("%d rows", compared)
}
