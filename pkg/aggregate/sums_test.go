package aggregate

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// counting is the root files of a node that has counted that far.
func (l *fakeLeaf) counting(n int) {
	l.change(func() {
		l.files["stat"] = fmt.Sprintf("cpu  %d 1 1 1 1 1 1 1 1 1\ncpu0 1 1 1 1 1 1 1 1 1 1\nintr %[1]d 5\nctxt %[1]d\nbtime 1\nprocesses %[1]d\nprocs_running 3\nprocs_blocked 1\nsoftirq %[1]d 1 1 1 1 1 1 1 1 1 1\n", n)
		l.files["vmstat"] = fmt.Sprintf("nr_dirty 10\npgpgin %d\npgfault %[1]d\n", n)
		l.files["loadavg"] = "1.00 1.00 1.00 2/50 9\n"
		l.files["meminfo"] = "MemTotal: 1000 kB\n"
		l.files["cpuinfo"] = "processor : 0\n\n"
	})
}

// line is the numbers of one line of a file.
func line(text, key string) (numbers []int) {
	for l := range strings.Lines(text) {
		if f := strings.Fields(strings.ReplaceAll(l, "/", " ")); len(f) > 0 && strings.TrimSuffix(f[0], ":") == key {
			for _, word := range f[1:] {
				n, _ := strconv.Atoi(word)
				numbers = append(numbers, n)
			}
		}
	}
	return append(numbers, -1)
}

// shownFor is a policy by which what the sums are made of is held for a moment, and shown
// for so much longer.
func shownFor(t *testing.T, stale time.Duration) *cachepolicy.Policy {
	t.Helper()
	p, err := cachepolicy.Parse("test", fmt.Appendf(nil, `
version: 1
rules:
  - {match: "<pid>/{stat,status,cmdline,statm}", cache: 1ms, stale: %v, prefetch: true}
  - {match: "{stat,vmstat,loadavg,meminfo,cpuinfo}", cache: 1ms, stale: %[1]v}
`, stale))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sumOf reads a number of a sum. Of those that count it makes sure that they never fall.
func sumOf(t *testing.T, root vfs.Dir, seen map[string]int, file, key string) int {
	t.Helper()
	n := line(read(t, root, file), key)[0]
	if n < seen[file+key] {
		t.Errorf("%s %s fell from %d to %d", file, key, seen[file+key], n)
	}
	seen[file+key] = n
	return n
}

var countedLines = [][2]string{{"stat", "cpu"}, {"stat", "cpu1"}, {"stat", "intr"}, {"stat", "ctxt"}, {"stat", "processes"}, {"stat", "softirq"}, {"vmstat", "pgpgin"}, {"vmstat", "pgfault"}}

// What a node had counted stays in the sums while it does not answer, whether its
// connection lives or not, and what it counts after a reboot comes on top of it. What
// tells how much there is stays for the policy's stale.
func TestSumsNeverFall(t *testing.T) {
	head, n1 := newFakeLeaf(), newFakeLeaf()
	head.facts.BootID = "head"
	head.counting(1000)
	n1.counting(500)
	c := fakeCluster(t, Config{Policy: shownFor(t, 500*time.Millisecond), Timeouts: Timeouts{Sweep: 400 * time.Millisecond, Read: 800 * time.Millisecond}}, head, n1)
	root, seen := rootOf(t, c, vfs.Root, ""), map[string]int{}
	all := func(what string, want int) {
		t.Helper()
		for _, f := range countedLines {
			want := want
			if f[1] == "cpu1" {
				want -= 1000
			}
			if got := sumOf(t, root, seen, f[0], f[1]); got != want {
				t.Errorf("%s: %s of %s is %d, want %d", what, f[1], f[0], got, want)
			}
		}
	}
	dirty := func() int { return line(read(t, root, "vmstat"), "nr_dirty")[0] }
	running := func() int { return line(read(t, root, "stat"), "procs_running")[0] }
	memory := func() int { return line(read(t, root, "meminfo"), "MemTotal")[0] }
	gauges := func(what string, nodes int) {
		t.Helper()
		if d, r, m := dirty(), running(), memory(); d != 10*nodes || r != 3*nodes || m != 1000*nodes {
			t.Errorf("%s: %d dirty pages, %d running, %d kB, want those of %d nodes", what, d, r, m, nodes)
		}
	}
	names(t, root) // a sweep tells which boot it is
	all("at first", 1500)
	gauges("at first", 2)
	n1.stop()
	all("stopped", 1500)
	eventually(t, "the gauges of a silent node", func() bool { return dirty() == 10 && running() == 3 && memory() == 1000 })
	all("silent", 1500)
	n1.counting(700)
	n1.resume()
	eventually(t, "the node is back", func() bool { return stateOf(t, root, "n1") == "up" })
	all("back", 1700)
	gauges("back", 2)
	n1.change(func() { n1.down = true })
	n1.cut()
	eventually(t, "the node is down", func() bool { return stateOf(t, root, "n1") == "down" })
	all("down", 1700)
	eventually(t, "the gauges of a node that is down", func() bool { return dirty() == 10 && running() == 3 && memory() == 1000 })
	all("down for longer", 1700)
	n1.counting(20)
	n1.reboot("boot-2")
	n1.change(func() { n1.down = false; n1.files["sys/kernel/random/boot_id"] = "boot-2\n" })
	eventually(t, "the node is rebooted", func() bool {
		for _, f := range countedLines {
			sumOf(t, root, seen, f[0], f[1])
		}
		return stateOf(t, root, "n1") == "up"
	})
	all("rebooted", 1720)
	names(t, root)
	all("rebooted and swept", 1720)
	gauges("rebooted", 2)
	// A boot that has counted further than the one before is told by its name alone.
	n1.counting(5000)
	n1.reboot("boot-3")
	n1.change(func() { n1.files["sys/kernel/random/boot_id"] = "boot-3\n" })
	eventually(t, "the node is rebooted again", func() bool {
		names(t, root)
		return stateOf(t, root, "n1") == "up" && sumOf(t, root, seen, "stat", "ctxt") == 6720
	})
	all("rebooted again", 6720)
}

// Gauges stay as long as the policy says that they may, when the connection has ended,
// too.
func TestGaugesStayForStale(t *testing.T) {
	head, n1 := newFakeLeaf(), newFakeLeaf()
	head.counting(1)
	n1.counting(1)
	c := fakeCluster(t, Config{Policy: shownFor(t, time.Minute)}, head, n1)
	root := rootOf(t, c, vfs.Root, "")
	read2 := func() [5]int {
		return [5]int{int(read(t, root, "loadavg")[0] - '0'), line(read(t, root, "vmstat"), "nr_dirty")[0], line(read(t, root, "stat"), "procs_blocked")[0], line(read(t, root, "meminfo"), "MemTotal")[0], len(strings.Split(read(t, root, "cpuinfo"), "processor"))}
	}
	// Nothing but sums is read.
	eventually(t, "the node's boot is known", func() bool { read2(); return c.node("n1").Clock() != nil })
	want := read2()
	if want[0] != 2 || want[1] != 20 {
		t.Fatalf("the sums are %v", want)
	}
	n1.change(func() { n1.down = true })
	n1.cut()
	eventually(t, "the node is down", func() bool { return stateOf(t, root, "n1") == "down" })
	eventually(t, "cluster/nodes tells of old values", func() bool {
		if got := read2(); got != want {
			t.Fatalf("just down: %v, were %v", got, want)
		}
		f := strings.Fields(strings.Split(read(t, root, "cluster", "nodes"), "\n")[2])
		return f[0] == "n1" && f[8] != "-"
	})
}

// What a node has counted is shown to those only to whom it has given it.
func TestSumsAreEachReadersOwn(t *testing.T) {
	head, n1 := newFakeLeaf(), newFakeLeaf()
	head.counting(1000)
	n1.counting(500)
	n1.change(func() { n1.refuses["vmstat"] = syscall.EACCES })
	c := fakeCluster(t, Config{Policy: shownFor(t, 500*time.Millisecond), Access: authority(everybodyEverywhere)}, head, n1)
	root, bob := rootOf(t, c, vfs.Root, ""), rootOf(t, c, uid(1), "")
	names(t, root)
	check := func(what string, wantRoot, wantBob, wantStat int) {
		t.Helper()
		if a, b, s := line(read(t, root, "vmstat"), "pgfault")[0], line(read(t, bob, "vmstat"), "pgfault")[0], line(read(t, bob, "stat"), "ctxt")[0]; a != wantRoot || b != wantBob || s != wantStat {
			t.Errorf("%s: root has %d, the other %d and of stat %d; want %d, %d, %d", what, a, b, s, wantRoot, wantBob, wantStat)
		}
	}
	check("at first", 1500, 1000, 1500)
	n1.change(func() { n1.down = true })
	n1.cut()
	eventually(t, "the node is down", func() bool { return stateOf(t, root, "n1") == "down" })
	check("down", 1500, 1000, 1500)
}

// Where a procfs hides processes, what counts them counts those that the reader is shown.
func TestCountsOfHidden(t *testing.T) {
	leaf := newFakeLeaf()
	leaf.counting(1000)
	leaf.facts.HidePID = 2
	head := newFakeLeaf()
	head.counting(0)
	for pid := 1; pid <= 10; pid++ {
		leaf.add(pid, uint32(1+pid%2), 0, pid, pid)
	}
	c := fakeCluster(t, Config{Policy: shownFor(t, 500*time.Millisecond), Access: authority(everybodyEverywhere)}, head, leaf)
	for _, tc := range []struct {
		hide, who   int
		load, procs int
	}{{2, 0, 50, 1000}, {2, 2, 5, 5}, {2, 3, 0, 0}, {4, 2, 5, 5}, {1, 2, 10, 10}, {0, 2, 50, 1000}} {
		leaf.change(func() { leaf.facts.HidePID = tc.hide })
		root := rootOf(t, c, uid(uint32(tc.who)), "")
		time.Sleep(5 * time.Millisecond) // tables are good for one
		names(t, root)
		for _, path := range [][]string{{"sets", "n1"}, {"nodes", "n1"}} {
			dir := walkDir(t, root, path...)
			load, stat := strings.Fields(read(t, dir, "loadavg"))[3], read(t, dir, "stat")
			if _, all, _ := strings.Cut(load, "/"); all != fmt.Sprint(tc.load) {
				t.Errorf("hidepid=%d, user %d, %v: loadavg counts %s", tc.hide, tc.who, path, load)
			}
			if n := line(stat, "processes")[0]; n != tc.procs {
				t.Errorf("hidepid=%d, user %d, %v: stat counts %d processes", tc.hide, tc.who, path, n)
			}
		}
	}
}

// A limited view has counts of its own, and counters like everybody.
func TestLimitedSums(t *testing.T) {
	head, n1 := newFakeLeaf(), newFakeLeaf()
	head.counting(0)
	n1.counting(500)
	n1.add(5, 1, 0, 5, 5)
	n1.add(6, 2, 0, 6, 6)
	c := fakeCluster(t, Config{Policy: shownFor(t, 500*time.Millisecond), Access: authority(access.View{For: anyone, Nodes: nodesOf("n1"), Processes: access.Processes{Own: true}})}, head, n1)
	bob := rootOf(t, c, uid(1), "")
	names(t, bob)
	for _, down := range []bool{false, true} {
		if down {
			n1.change(func() { n1.down = true })
			n1.cut()
			eventually(t, "the node is down", func() bool { return stateOf(t, bob, "n1") == "down" })
		}
		stat := read(t, bob, "stat")
		if n := line(stat, "ctxt")[0]; n != 500 {
			t.Errorf("down %v: %d context switches", down, n)
		}
		if n, r := line(stat, "processes")[0], line(stat, "procs_running")[0]; n > 1 || !down && n != 1 || r != 0 {
			t.Errorf("down %v: %d processes, %d running", down, n, r)
		}
	}
}
