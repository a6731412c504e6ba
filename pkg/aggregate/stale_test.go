package aggregate

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// shownStale is a policy by which the rows of a node that does not answer may be an hour
// old.
func shownStale(t *testing.T) *cachepolicy.Policy {
	t.Helper()
	p, err := cachepolicy.Parse("test", []byte(`version: 1
rules:
  - {match: "<pid>/{stat,statm,status,cmdline}", cache: 1s, stale: 1h, prefetch: true}
  - {match: "**", cache: never}
`))
	if err != nil {
		t.Fatal(err)
	}
	if p.StaleTable() != time.Hour+time.Second {
		t.Fatalf("rows may be %v old", p.StaleTable())
	}
	return p
}

// remarksOf are the remarks of a table of processes on a node.
func remarksOf(t *testing.T, root vfs.Dir, table, node string) (all []string) {
	t.Helper()
	rows := true
	for line := range strings.Lines(read(t, root, "cluster", table)) {
		remark, ok := strings.CutPrefix(line, "# ")
		if !ok && !rows {
			t.Errorf("a row behind the remarks: %q", line)
		}
		if rows = !ok; ok && strings.Fields(remark)[1] == node {
			all = append(all, strings.TrimSpace(remark))
		}
	}
	return all
}

// What there is of a process whose node does not answer, while its rows are listed and
// after they have been left out: the table in docs/namespace.md.
var errorsByKind = []struct {
	kind            string
	path            []string // "PID" is the process's g, "NATIVE" its pid on its node
	listed, missing syscall.Errno
}{
	{"the process's directory", []string{"PID"}, 0, syscall.ESRCH},
	{"a file that a sweep brings", []string{"PID", "stat"}, 0, syscall.ESRCH},
	{"a file that a sweep brings", []string{"PID", "cmdline"}, 0, syscall.ESRCH},
	{"the same by its node", []string{"n1:NATIVE", "status"}, 0, syscall.ESRCH},
	{"any other file", []string{"PID", "environ"}, syscall.EHOSTDOWN, syscall.ESRCH},
	{"any other file", []string{"PID", "maps"}, syscall.EHOSTDOWN, syscall.ESRCH},
	{"a file of a thread", []string{"PID", "task", "PID", "stat"}, syscall.EHOSTDOWN, syscall.ESRCH},
	{"a link", []string{"PID", "exe"}, syscall.EHOSTDOWN, syscall.ESRCH},
	{"a name that no process has", []string{"PID", "ctty"}, syscall.ENOENT, syscall.ESRCH},
	{"a file of the node", []string{"nodes", "n1", "meminfo"}, syscall.EHOSTDOWN, syscall.EHOSTDOWN},
	{"the same", []string{"nodes", "n1", "sys", "kernel", "osrelease"}, syscall.EHOSTDOWN, syscall.EHOSTDOWN},
	{"a process below nodes/", []string{"nodes", "n1", "NATIVE", "environ"}, syscall.EHOSTDOWN, syscall.EHOSTDOWN},
	{"cluster/where", []string{"cluster", "where", "PID"}, 0, syscall.EHOSTDOWN},
	{"a process that was not listed", []string{"n1:4194303"}, syscall.EHOSTDOWN, syscall.ESRCH},
}

func openKind(ctx context.Context, root vfs.Dir, path []string) error {
	n, _, err := vfs.WalkPath(ctx, root, path...)
	if err != nil {
		return err
	}
	switch n := n.(type) {
	case vfs.Dir:
		_, err = n.Attr(ctx)
	case vfs.Link:
		_, err = n.Readlink(ctx)
	default:
		_, err = vfs.ReadFile(ctx, root, 1<<20, path...)
	}
	return err
}

// The rows of a node that does not answer are listed for as long as the policy says, and
// named as old; then they are left out, and it is named as missing. Each file of its
// processes says what is known of it.
func TestUnansweringNode(t *testing.T) {
	for name, end := range map[string]struct{ begin, end func(*patient) }{
		"silent": {(*patient).stop, (*patient).resume},
		"down":   {(*patient).kill, (*patient).alive},
	} {
		t.Run(name, func(t *testing.T) {
			p := &patient{}
			var skew atomic.Int64
			c := startCluster(t, Config{
				Head:     NodeConfig{Name: "head", Dial: dialLeaf},
				Nodes:    []NodeConfig{{Name: "n1", Dial: p.dial}},
				Policy:   shownStale(t),
				Timeouts: Timeouts{Connect: time.Minute, Read: 10 * time.Second, Sweep: 5 * time.Second},
				Now:      func() time.Time { return time.Now().Add(time.Duration(skew.Load())) },
			})
			root := rootOf(t, c, vfs.Root, "")
			pid := strconv.Itoa(sleeper(t, 0))
			native, _ := strconv.Atoi(pid)
			g := strconv.Itoa(gpid.Stride + native)
			if !listed(names(t, root), g) {
				t.Fatal("it is not listed while all is well")
			}
			if all := remarksOf(t, root, "ps", "n1"); len(all) > 0 {
				t.Fatalf("remarks while all is well: %q", all)
			}
			stat := read(t, root, g, "stat")
			kept := walkDir(t, root, g)
			end.begin(p)
			c.node("n1").Probe()
			eventually(t, "n1 does not answer", func() bool { return c.node("n1").Health().State != upstream.Up })
			skew.Add(int64(2 * time.Second)) // the table's time is over

			check := func(when string, want func(int) syscall.Errno) {
				t.Helper()
				for i, k := range errorsByKind {
					path := strings.Split(strings.NewReplacer("PID", g, "NATIVE", pid).Replace(strings.Join(k.path, "/")), "/")
					if err := openKind(t.Context(), root, path); vfs.Errno(err) != want(i) {
						t.Errorf("%s, %s: %v is %v, and not %v", when, k.kind, path, err, want(i))
					}
				}
			}
			check("before any listing", func(i int) syscall.Errno { return errorsByKind[i].listed })
			if !listed(names(t, root), g) {
				t.Error("its rows are not listed any more")
			}
			if got := read(t, root, g, "stat"); got != stat {
				t.Errorf("the last value of stat is %q, and was %q", got, stat)
			}
			for _, table := range []string{"ps"} {
				all := remarksOf(t, root, table, "n1")
				if len(all) != 1 || !strings.HasPrefix(all[0], "stale n1 ") {
					t.Errorf("cluster/%s remarks %q", table, all)
				}
			}
			if text := read(t, root, "cluster", "ps"); !strings.Contains(text, " "+g+" ") {
				t.Error("cluster/ps lacks its row")
			}
			if names(t, root); c.missed()["n1"] == 0 {
				t.Error("answers with old rows are not counted")
			}
			check("while its rows are listed", func(i int) syscall.Errno { return errorsByKind[i].listed })

			skew.Add(int64(2 * time.Hour))
			check("when their time is over", func(i int) syscall.Errno { return errorsByKind[i].missing })
			if listed(names(t, root), g) {
				t.Error("its rows are listed for ever")
			}
			for _, table := range []string{"ps", "cgroups"} {
				all := remarksOf(t, root, table, "n1")
				if len(all) != 1 || !strings.HasPrefix(all[0], "missing n1 "+name) {
					t.Errorf("cluster/%s remarks %q", table, all)
				}
				if all := remarksOf(t, root, table, "head"); len(all) != 0 {
					t.Errorf("cluster/%s remarks on the head %q", table, all)
				}
			}
			check("after they were left out", func(i int) syscall.Errno { return errorsByKind[i].missing })
			if _, err := vfs.ReadFile(t.Context(), kept, 1<<20, "environ"); vfs.Errno(err) != syscall.ESRCH {
				t.Errorf("below a directory that was walked to before: %v", err)
			}
			before := c.missed()
			names(t, root)
			if after := c.missed(); after["n1"] != before["n1"]+1 || after["head"] != 0 {
				t.Errorf("a listing without it, and %v answers missed became %v", before, after)
			}

			end.end(p)
			eventually(t, "all is as it was", func() bool {
				return listed(names(t, root), g) && len(remarksOf(t, root, "ps", "n1")) == 0
			})
			if err := openKind(t.Context(), root, []string{g, "environ"}); err != nil {
				t.Errorf("after it came back: %v", err)
			}
		})
	}
}

// A node that is merely slow has its last rows in a listing at the sweep's own deadline, and
// who reads them does not wait for it anew with each.
func TestSlowNode(t *testing.T) {
	p := &patient{}
	var skew atomic.Int64
	c := startCluster(t, Config{
		Head:     NodeConfig{Name: "head", Dial: dialLeaf},
		Nodes:    []NodeConfig{{Name: "n1", Dial: p.dial}},
		Policy:   shownStale(t),
		Timeouts: Timeouts{Read: time.Hour, Sweep: 100 * time.Millisecond},
		Now:      func() time.Time { return time.Now().Add(time.Duration(skew.Load())) },
	})
	root := rootOf(t, c, vfs.Root, "")
	g := strconv.Itoa(gpid.Stride + sleeper(t, 0))
	eventually(t, "it is listed", func() bool { return listed(names(t, root), g) })
	p.stop()
	defer p.resume()
	skew.Add(int64(2 * time.Second))
	// Each of these would take an hour if it waited for the node.
	if !listed(names(t, root), g) {
		t.Error("the rows of a slow node are not listed")
	}
	if text := read(t, root, "cluster", "ps"); !strings.Contains(text, " "+g+" ") {
		t.Error("cluster/ps lacks its row")
	}
	for _, file := range []string{"stat", "status", "cmdline"} {
		read(t, root, g, file)
	}
	if all := remarksOf(t, root, "ps", "n1"); len(all) != 1 || !strings.HasPrefix(all[0], "stale n1 ") {
		t.Errorf("remarks: %q", all)
	}
}

// The head's own rows are waited for as long as any exchange may take, and the first rows of
// each node for longer than a sweep: a busy machine is slow, not gone.
func TestFirstSweepIsWaitedFor(t *testing.T) {
	pid := sleeper(t, 0)
	slow := func(ctx context.Context) (Upstream, error) {
		time.Sleep(200 * time.Millisecond)
		return dialLeaf(ctx)
	}
	c := beginCluster(t, Config{
		Head:     NodeConfig{Name: "head", Dial: slow},
		Nodes:    []NodeConfig{{Name: "n1", Dial: slow}},
		Timeouts: Timeouts{Connect: time.Minute, Read: time.Minute, Sweep: 20 * time.Millisecond},
	})
	root := rootOf(t, c, vfs.Root, "")
	text := read(t, root, "cluster", "ps")
	for _, base := range []int{0, gpid.Stride} {
		if !strings.Contains(text, " "+strconv.Itoa(base+pid)+" ") {
			t.Errorf("%d is not among the first rows", base+pid)
		}
	}
	if strings.Contains(text, "\n# ") {
		t.Errorf("remarks: %s", text[strings.Index(text, "\n# "):])
	}
	if head := c.node("head"); head.ListWait() != time.Minute {
		t.Errorf("the head is waited for for %v", head.ListWait())
	}
	if n := c.node("n1"); n.ListWait() > 20*time.Millisecond {
		t.Errorf("from the second sweep on, a node is waited for for %v", n.ListWait())
	}
}

// A node that answers with an error is missing for that reason, and none of its rows is old.
func TestNodeThatAnswersWithErrors(t *testing.T) {
	p := &patient{}
	var skew atomic.Int64
	c := startCluster(t, Config{
		Head:     NodeConfig{Name: "head", Dial: dialLeaf},
		Nodes:    []NodeConfig{{Name: "n1", Dial: p.dial}},
		Policy:   shownStale(t),
		Timeouts: Timeouts{Read: 10 * time.Second, Sweep: 5 * time.Second},
		Now:      func() time.Time { return time.Now().Add(time.Duration(skew.Load())) },
	})
	root := rootOf(t, c, vfs.Root, "")
	names(t, root)
	skew.Add(int64(2 * time.Second))
	p.mu.Lock()
	p.sick = syscall.EMFILE
	p.mu.Unlock()
	all := remarksOf(t, root, "ps", "n1")
	if len(all) != 1 || !strings.HasPrefix(all[0], "missing n1 ") || !strings.Contains(all[0], "too many open files") {
		t.Errorf("remarks: %q", all)
	}
	if text := read(t, root, "cluster", "nodes"); !strings.Contains(text, "too many open files") {
		t.Errorf("its row does not say why:\n%s", text)
	}
}

// A request whose connection ends under it is one to a node that does not answer, and one
// A sum of no node is an error, and not that there is nothing; a node that a sum lacks is
// counted.
func TestSumOfNobody(t *testing.T) {
	p := &patient{}
	c := startCluster(t, Config{
		Head:     NodeConfig{Name: "head", Dial: dialLeaf},
		Nodes:    []NodeConfig{{Name: "n1", Dial: p.dial}},
		Timeouts: Timeouts{Read: 10 * time.Second, Sweep: 5 * time.Second},
	})
	root, part := rootOf(t, c, vfs.Root, ""), rootOf(t, c, vfs.Root, "/sets/n1")
	p.kill()
	eventually(t, "n1 is down", func() bool { return stateOf(t, root, "n1") == "down" })
	for _, name := range []string{"stat", "loadavg", "meminfo", "vmstat", "cpuinfo"} {
		if _, err := vfs.ReadFile(t.Context(), part, 1<<20, name); vfs.Errno(err) != syscall.EHOSTDOWN {
			t.Errorf("%s of a node that is down: %v", name, err)
		}
	}
	before := c.missed()["n1"]
	read(t, root, "loadavg")
	if after := c.missed()["n1"]; after != before+1 {
		t.Errorf("a sum without it, and %d answers missed became %d", before, after)
	}
}

// A shortage of the node is not one of the reader.
func TestShortageIsTheNodes(t *testing.T) {
	p := &patient{}
	c := startCluster(t, Config{
		Head:     NodeConfig{Name: "head", Dial: dialLeaf},
		Nodes:    []NodeConfig{{Name: "n1", Dial: p.dial}},
		Policy:   shownStale(t),
		Timeouts: Timeouts{Read: 10 * time.Second, Sweep: 5 * time.Second},
	})
	root := rootOf(t, c, vfs.Root, "")
	pid := sleeper(t, 0)
	g := strconv.Itoa(gpid.Stride + pid)
	names(t, root)
	p.mu.Lock()
	p.sick = syscall.EMFILE
	p.mu.Unlock()
	for _, path := range [][]string{{g, "environ"}, {"nodes", "n1", "meminfo"}, {"cluster", "where", "n1:4194303"}} {
		if err := openKind(t.Context(), root, path); vfs.Errno(err) != syscall.EHOSTDOWN {
			t.Errorf("%v of a node without descriptors: %v", path, err)
		}
	}
}
