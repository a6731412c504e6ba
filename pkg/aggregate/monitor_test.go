package aggregate

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/internal/procpath"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/procsim"
	"github.com/aggrfs/aggrfs/test/wait"
)

// A group of one row.
func oneRow(name string, fields string, values ...int64) snapshot.Group {
	return snapshot.Group{Name: name, Fields: strings.Fields(fields), Rows: []string{""}, Values: values}
}

// measuredLeaf is a leaf that tells figures of itself: n seconds after its start, in which its
// processors were busy for a quarter of their time.
func measuredLeaf() *fakeLeaf {
	l := newFakeLeaf()
	l.pass(0)
	return l
}

// pass has the node's figures be those that many ms after its start. Who holds older ones has slices
// that do not change.
func (l *fakeLeaf) pass(ms int64) {
	l.change(func() {
		l.facts.Monotonic = 1 + ms*1e6
		l.figures = []snapshot.Group{
			oneRow("clock", "real monotonic boot", time.Now().UnixNano(), 1+ms*1e6, 1+ms*1e6),
			oneRow("load", "load1 load5 load15 running threads", 150, 25, 7, 2, 300),
			oneRow("cpu", "user nice system idle iowait irq softirq steal guest guest_nice cpus", ms*3/8, 0, ms/8, ms*3/2, 0, 0, 0, 0, 0, 0, 2),
			oneRow("events", "ctxt intr forks blocked", ms*4, ms*2, ms/100, 1),
			oneRow("memory", "total free available", 8000, 1000, 2000),
			{Name: "net", Fields: []string{"rx_bytes", "tx_bytes"}, Rows: []string{"eth0", "eth1", "lo"}, Values: []int64{ms * 2048, ms * 1024, ms, 0, ms * 99999, 0}},
			{Name: "disk", Fields: []string{"reads", "read_kib", "busy"}, Rows: []string{"sda", "sdb"}, Values: []int64{ms / 10, ms, ms / 2, 0, 0, 0}},
			{Name: "space", Fields: []string{"size", "free", "available"}, Rows: []string{"/", "/scratch"}, Values: []int64{1000, 500, 400, 1000, 60, 50}},
			{Name: "unheard of", Fields: []string{"x"}, Rows: []string{"y"}, Values: []int64{1}},
		}
	})
}

// use has a process have used so many ticks.
func (l *fakeLeaf) use(pid int, ticks int) {
	l.change(func() {
		for i := range l.procs {
			if p := &l.procs[i]; p.pid == pid {
				files := map[string]string{}
				for name, text := range p.files {
					files[name] = text
				}
				files["stat"] = fmt.Sprintf("%d (p%d) S 1 1 1 0 1 0 0 0 0 0 %d 0 0 0 20 0 2 0 4000 0 256\n", pid, pid, ticks)
				p.files = files
			}
		}
	})
}

// monitorRows are the rows of a file of cluster/, by the columns' names.
func monitorRows(t *testing.T, root vfs.Dir, path ...string) (rows []map[string]string, remarks string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(read(t, root, append([]string{"cluster"}, path...)...), "\n"), "\n")
	names := strings.Fields(lines[0])
	for _, line := range lines[1:] {
		if strings.HasPrefix(line, "#") {
			remarks += line + "\n"
			continue
		}
		row := map[string]string{}
		for i, cell := range strings.Fields(line) {
			row[names[min(i, len(names)-1)]] = cell
		}
		rows = append(rows, row)
	}
	return rows, remarks
}

// has reports an error unless a row has those cells.
func has(row map[string]string, cells ...string) error {
	for i := 0; i < len(cells); i += 2 {
		if row[cells[i]] != cells[i+1] {
			return fmt.Errorf("%s is %q, want %q, in %v", cells[i], row[cells[i]], cells[i+1], row)
		}
	}
	return nil
}

const often = "20ms"

// oftenPolicy lets nodes be sampled so often.
func oftenPolicy(t testing.TB) *cachepolicy.Policy {
	p := policy(t, swept)
	p.SampleMin = 10 * time.Millisecond
	return p
}

// Figures are shown as they are told, rates are over the node's own time, and there is none of the
// first sample. A process that has not changed has used nothing, one that is new all that it has.
func TestMonitorRates(t *testing.T) {
	head, l := newFakeLeaf(), measuredLeaf()
	for _, pid := range []int{10, 11, 12} {
		l.add(pid, 1001, 1, 1, 1)
		l.use(pid, 100)
	}
	c := startCluster(t, Config{
		Head: NodeConfig{Name: "head", Dial: head.dial}, Nodes: []NodeConfig{{Name: "n1", Dial: l.dial}}, Policy: oftenPolicy(t),
	})
	root := rootOf(t, c, vfs.Root, "")
	// The first sample.
	for _, file := range []string{"cpu", "mem", "net", "disk", "pressure"} {
		rows, remarks := monitorRows(t, root, "every", often, file)
		if err := has(rows[1], "NODE", "n1", "OVER", "-"); err != nil || remarks != "# interval -\n" {
			t.Errorf("%s: %v, %q", file, err, remarks)
		}
	}
	rows, _ := monitorRows(t, root, "every", often, "load")
	if err := has(rows[1], "LOAD1", "1.50", "LOAD5", "0.25", "LOAD15", "0.07", "CPUS", "2", "RUNNING", "2", "THREADS", "300", "BLOCKED", "1"); err != nil {
		t.Error(err)
	}
	// The head's leaf tells none, and is not asked for any: its columns say so.
	if err := has(rows[0], "NODE", "head", "LOAD1", "-", "THREADS", "-", "OFFSET", "-"); err != nil {
		t.Error(err)
	}
	rows, _ = monitorRows(t, root, "every", often, "mem")
	if err := has(rows[1], "TOTAL", "8000", "AVAILABLE", "2000", "%USED", "75.00", "SWAPFREE", "-"); err != nil {
		t.Error(err)
	}
	rows, _ = monitorRows(t, root, "every", often, "top")
	if len(rows) != 3 {
		t.Errorf("top: %v", rows)
	}
	// Four seconds of the node's go by at once.
	l.use(10, 300)
	l.add(13, 1002, 1, 1, 1)
	l.use(13, 20)
	l.end(12)
	l.add(12, 1002, 1, 1, 1) // another of that pid
	l.use(12, 100)
	l.pass(4000)
	eventually := func(what string, try func() error) {
		t.Helper()
		if err := wait.Poll(t.Context(), try); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	of := func(file string, cells ...string) func() error {
		return func() error {
			rows, remarks := monitorRows(t, root, "every", often, file)
			if remarks != "# interval 4.00s\n" {
				return errors.New(remarks)
			}
			for _, row := range rows {
				if err := has(row, cells[:2]...); err == nil {
					return has(row, cells...)
				}
			}
			return fmt.Errorf("there is no row %v in %v", cells[:2], rows)
		}
	}
	eventually("cpu", of("cpu", "NODE", "n1", "OVER", "4.00", "USER", "18.75", "SYSTEM", "6.25", "IDLE", "75.00", "CTXT", "4000.00", "FORKS", "10.00"))
	eventually("net", of("net", "NODE", "n1", "IFACES", "2", "RXKIB", "2000.98", "TXKIB", "1000.00", "ERRORS", "-", "BUSIEST", "eth0", "BUSYKIB", "3000.00"))
	eventually("disk", of("disk", "NODE", "n1", "DISKS", "2", "READS", "100.00", "READKIB", "1000.00", "WRITES", "-", "BUSIEST", "sda", "%BUSY", "50.00", "%FULL", "94.95", "MOUNT", "/scratch"))
	eventually("top", of("top", "PID", "10", "NODE", "n1", "%CPU", "50.00", "TIME", "3.00", "THREADS", "2", "RSS", "1024", "%MEM", "12.80", "USER", "1001"))
	eventually("the new one", of("top", "PID", "13", "%CPU", "5.00"))
	eventually("the other of that pid", of("top", "PID", "12", "%CPU", "25.00"))
	eventually("users", of("users", "USER", "1002", "PROCS", "2", "NODES", "1", "THREADS", "4", "%CPU", "30.00", "TIME", "1.20", "RSS", "2048"))
	eventually("commands", of("commands", "COMMAND", "p11", "PROCS", "1", "%CPU", "0.00"))
	rows, _ = monitorRows(t, root, "every", often, "top")
	if len(rows) != 3 {
		t.Errorf("what has used nothing is in top: %v", rows)
	}
	// The twin in JSON has the same.
	var twin struct {
		Version  int
		Interval *float64
		Missing  []any
		Rows     []map[string]any
	}
	if err := json.Unmarshal([]byte(read(t, root, "cluster", "every", often, "cpu.json")), &twin); err != nil {
		t.Fatal(err)
	}
	if twin.Version != 1 || twin.Interval == nil || *twin.Interval != 4 || twin.Missing == nil || twin.Rows[1]["idle"] != 75.0 || twin.Rows[0]["idle"] != nil {
		t.Errorf("%+v", twin)
	}
	// A reboot: no rate of counters that have fallen.
	l.reboot("boot-2")
	l.pass(100)
	eventually("after the reboot", func() error {
		rows, _ := monitorRows(t, root, "every", often, "cpu")
		return has(rows[1], "NODE", "n1", "OVER", "-", "USER", "-")
	})
}

// A node that does not answer is named, and does not hold up the others; what it said last is shown for
// as long as the policy says.
func TestMonitorMissing(t *testing.T) {
	l, sick := measuredLeaf(), measuredLeaf()
	c := startCluster(t, Config{
		Head: NodeConfig{Name: "head", Dial: l.dial}, Nodes: []NodeConfig{{Name: "n1", Dial: sick.dial}},
		Policy:   policy(t, "- {match: \"<pid>/{stat,statm,status,cmdline}\", cache: 100ms, stale: 1s, prefetch: true}\n"),
		Timeouts: Timeouts{Connect: time.Second, Read: time.Second, Sweep: time.Second},
	})
	root := rootOf(t, c, vfs.Root, "")
	if rows, remarks := monitorRows(t, root, "load"); len(rows) != 2 || strings.Contains(remarks, "missing") {
		t.Fatal(rows, remarks)
	}
	sick.change(func() { sick.down = true })
	sick.cut()
	for _, file := range []string{"load", "users"} {
		if err := wait.Poll(t.Context(), func() error {
			rows, remarks := monitorRows(t, root, file)
			if !strings.Contains(remarks, "# missing n1 down") {
				return errors.New(remarks)
			}
			if file == "load" && (len(rows) != 1 || rows[0]["NODE"] != "head") {
				return fmt.Errorf("%v", rows)
			}
			return nil
		}); err != nil {
			t.Error(file, err)
		}
	}
	if text := read(t, root, "cluster", "load.json"); !strings.Contains(text, `"missing":[{"node":"n1"`) {
		t.Error(text)
	}
}

// After the last reader nothing is asked of a node but if it is there, and nothing is in memory.
func TestMonitorEnds(t *testing.T) {
	l := measuredLeaf()
	l.add(10, 1001, 1, 1, 1)
	c := startCluster(t, Config{Head: NodeConfig{Name: "head", Dial: l.dial}, Policy: oftenPolicy(t)})
	root := rootOf(t, c, vfs.Root, "")
	monitorRows(t, root, "every", often, "load")
	l.requests()
	if err := wait.Poll(t.Context(), func() error {
		if n := len(l.requests()); n < 2 {
			return fmt.Errorf("%d exchanges", n)
		}
		return nil
	}); err != nil {
		t.Fatal("it is not sampled between two reads:", err)
	}
	monitorRows(t, root, "every", often, "top")
	if n := c.tree.Tables().Sampling(); n != 1 {
		t.Errorf("%d nodes are sampled", n)
	}
	if err := wait.Poll(t.Context(), func() error {
		if n := c.tree.Tables().Sampling(); n != 0 {
			return fmt.Errorf("%d nodes are sampled", n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	l.requests()
	if err := wait.Poll(t.Context(), func() error {
		all := l.requests()
		if slices.ContainsFunc(all, func(what string) bool { return what != "attr" }) {
			t.Fatalf("it is still asked: %v", all)
		}
		if len(all) == 0 {
			return errors.New("no ping yet")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// A user sees their own processes in every file, and of a node what they could read there.
func TestMonitorOfUser(t *testing.T) {
	l := measuredLeaf()
	l.add(10, 1001, 1, 1, 1)
	l.add(11, 1002, 1, 1, 1)
	for _, pid := range []int{10, 11} {
		l.use(pid, 100)
		l.change(func() {
			l.procs[pid-10].files["cgroup"] = fmt.Sprintf("0::/system.slice/slurmstepd.scope/job_%d/step_0/user/task_0\n", pid)
		})
	}
	c := startCluster(t, Config{
		Head: NodeConfig{Name: "head", Dial: l.dial}, Policy: policy(t, swept),
		Access: authority(access.View{For: []access.Principal{{Kind: access.User, Name: "1001"}}, Nodes: access.Nodes{All: true}, Processes: access.Processes{Own: true}}),
	})
	root := rootOf(t, c, vfs.Identity{UID: 1001, GID: 1001}, "")
	all := names(t, walkDir(t, root, "cluster"))
	for _, name := range all {
		if strings.HasSuffix(name, ".json") || name == "where" || name == "every" {
			continue
		}
		text := read(t, root, "cluster", name)
		if strings.Contains(text, "1002") || strings.Contains(text, "p11") || strings.Contains(text, "11") && name == "top" || strings.Contains(text, "job_11") {
			t.Errorf("cluster/%s tells of another user:\n%s", name, text)
		}
	}
	if slices.Contains(all, "net") || slices.Contains(all, "net.json") || !slices.Contains(all, "load") || !slices.Contains(all, "users.json") {
		t.Errorf("cluster has %v", all)
	}
	if _, _, err := vfs.OpenPath(t.Context(), root, "cluster", "every", "1s", "net"); err == nil {
		t.Error("net exists all the same")
	}
	rows, _ := monitorRows(t, root, "load")
	if err := has(rows[0], "LOAD1", "1.50", "RUNNING", "-", "THREADS", "-", "BLOCKED", "-"); err != nil {
		t.Error(err)
	}
	rows, _ = monitorRows(t, root, "disk")
	if err := has(rows[0], "DISKS", "2", "%FULL", "-", "MOUNT", "-"); err != nil {
		t.Error(err)
	}
	rows, _ = monitorRows(t, root, "users")
	if len(rows) != 1 || rows[0]["USER"] != "1001" || rows[0]["PROCS"] != "1" {
		t.Errorf("users: %v", rows)
	}
	rows, _ = monitorRows(t, root, "jobs")
	if len(rows) != 1 || rows[0]["JOB"] != "10" {
		t.Errorf("jobs: %v", rows)
	}
	// Of who sees all, both.
	if rows, _ := monitorRows(t, rootOf(t, c, vfs.Root, ""), "jobs"); len(rows) != 2 {
		t.Errorf("jobs: %v", rows)
	}
	if rows, _ := monitorRows(t, rootOf(t, c, vfs.Root, "/users/1002"), "users"); len(rows) != 1 || rows[0]["USER"] != "1002" {
		t.Errorf("users of 1002: %v", rows)
	}
}

// Sampling takes no more than 200 bytes a process where one of twenty changes from sample to sample,
// and nothing once it has ended.
func TestMonitorMemory(t *testing.T) {
	const many = 20000
	n := procsim.NewNode("n1", 1, many)
	defer n.Close()
	head := newFakeLeaf()
	c := startCluster(t, Config{
		Head: NodeConfig{Name: "head", Dial: head.dial}, Nodes: []NodeConfig{{Name: "n1", Dial: serve9P(t, n)}},
		Policy: oftenPolicy(t),
	})
	root := rootOf(t, c, vfs.Root, "")
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // pools are empty after two
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for range 14 {
		n.Churn(0.05)
		// No sample is under way while the heap is looked at.
		monitorRows(t, root, "every", "600ms", "users")
		time.Sleep(600 * time.Millisecond)
	}
	monitorRows(t, root, "every", "600ms", "users")
	during := heap()
	if err := wait.Poll(t.Context(), func() error {
		if n := c.tree.Tables().Sampling(); n != 0 {
			return fmt.Errorf("%d nodes are sampled", n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	after := heap()
	each := (during - after) / many
	t.Logf("%d bytes a process", each)
	if each > 200 || each < 10 {
		t.Errorf("sampling takes %d bytes a process", each)
	}
	runtime.KeepAlive(c)
}

// The rows are read as they are written.
func TestMonitorRowsAreRead(t *testing.T) {
	l := measuredLeaf()
	c := startCluster(t, Config{Head: NodeConfig{Name: "head", Dial: l.dial}, Policy: policy(t, swept)})
	text := read(t, rootOf(t, c, vfs.Root, ""), "cluster", "load")
	rows, _, err := report.ParseTable[report.Load]("cluster/load", []byte(text))
	if err != nil || len(rows) != 1 || rows[0].Load1 == nil || *rows[0].Load1 != 1.5 || rows[0].Node != "head" {
		t.Errorf("%+v, %v", rows, err)
	}
}

// Of a node whose procfs hides processes, a user is shown those that its kernel would show them, and
// whose own are not certain is told that some are lacking. What a view denies is in no file of samples.
func TestMonitorHidden(t *testing.T) {
	l := measuredLeaf()
	l.facts.HidePID = procfile.HideProcess
	for i, uid := range []uint32{4000, 4000, 1002} {
		l.add(10+i, uid, 1, 1, 1)
		l.use(10+i, 100)
	}
	denying := ownEverywhere
	denying.For = []access.Principal{{Kind: access.User, Name: "1002"}}
	denying.Processes = access.Processes{All: true}
	for _, pattern := range []string{"meminfo", "<pid>/cmdline", "pressure/**"} {
		p, err := procpath.Compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		denying.Deny = append(denying.Deny, p)
	}
	c := startCluster(t, Config{Head: NodeConfig{Name: "head", Dial: l.dial}, Policy: policy(t, swept), Access: authority(denying, everybodyEverywhere)})
	root := rootOf(t, c, uid(4000), "")
	for _, file := range []string{"users", "commands", "top", "rates"} {
		if text := read(t, root, "cluster", file); strings.Contains(text, "1002") || strings.Contains(text, "p12") {
			t.Errorf("%s shows what the node hides:\n%s", file, text)
		}
	}
	if rows, remarks := monitorRows(t, root, "users"); len(rows) != 1 || rows[0]["PROCS"] != "2" || strings.Contains(remarks, "lacking") {
		t.Errorf("%v %s", rows, remarks)
	}
	// With another group than the process has, it is not certain.
	if rows, remarks := monitorRows(t, rootOf(t, c, vfs.Identity{UID: 4000, GID: 7}, ""), "users"); len(rows) != 0 || !strings.Contains(remarks, "# lacking head 2 processes") {
		t.Errorf("%v %s", rows, remarks)
	}
	root = rootOf(t, c, uid(1002), "")
	if rows, _ := monitorRows(t, root, "mem"); has(rows[0], "TOTAL", "-", "%USED", "-") != nil {
		t.Errorf("mem: %v", rows)
	}
	if rows, _ := monitorRows(t, root, "top"); len(rows) != 1 || has(rows[0], "COMMAND", "[p12]", "%MEM", "-") != nil {
		t.Errorf("top: %v", rows)
	}
	if rows, _ := monitorRows(t, root, "nodes"); has(rows[0], "LOAD", "1.50", "%MEM", "-") != nil {
		t.Errorf("nodes: %v", rows)
	}
}

// Nodes that take longer to answer than the interval hold up a reader for one answer, not one after the
// other.
func TestMonitorOfSlowNodes(t *testing.T) {
	const slow, many = 200 * time.Millisecond, 40
	cfg := Config{Policy: oftenPolicy(t)}
	for i := range many {
		l := measuredLeaf()
		answer := l.answerOf(slow)
		l.change(func() { l.answer = answer })
		if i == 0 {
			cfg.Head = NodeConfig{Name: "head", Dial: l.dial}
			continue
		}
		cfg.Nodes = append(cfg.Nodes, NodeConfig{Name: gpid.NodeName(fmt.Sprint("n", i)), Dial: l.dial})
	}
	root := rootOf(t, startCluster(t, cfg), vfs.Root, "")
	monitorRows(t, root, "every", often, "load")
	start := time.Now()
	rows, remarks := monitorRows(t, root, "every", often, "load")
	if took := time.Since(start); len(rows) != many || strings.Contains(remarks, "missing") || took > many*slow/2 {
		t.Errorf("%d rows after %v: %s", len(rows), took, remarks)
	}
}

// answerOf is what the leaf says to figures alone, after that long.
func (l *fakeLeaf) answerOf(slow time.Duration) func(snapshot.Request) ([]byte, error) {
	groups, facts := l.figures, l.facts
	return func(req snapshot.Request) ([]byte, error) {
		f := l.history.Add(snapshot.NewFigures(groups), time.Now())
		if len(req.Files) == 0 {
			time.Sleep(slow)
			return snapshot.AnswerFigures(f, l.history.Find(req.Known)), nil
		}
		var b snapshot.Builder
		b.Reset(nil, facts, req.Files)
		t, err := b.Table()
		if err != nil {
			return nil, err
		}
		return t.AnswerWith(req, 0, f, l.history.Find(req.Known)), nil
	}
}
