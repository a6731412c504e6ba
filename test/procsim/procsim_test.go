package procsim

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	n := NewNode("n1", 1, 20)
	defer n.Close()
	vfstest.TestTree(t, vfstest.Options{
		Tree: n, Who: vfs.Root, Others: []vfs.Identity{{UID: 1000, GID: 1000}}, MaxEntries: 2000,
		Moving:  func(p string) bool { return p == "uptime" },
		MayFail: func(p string) bool { return true }, // kernel threads have no exe
	})
}

// TestTexts has the texts parsed by who parses real ones, and looks at how long they
// are.
func TestTexts(t *testing.T) {
	n := NewNode("n1", 1, 200)
	defer n.Close()
	raw := 0
	for _, p := range n.processes() {
		stat, status := string(p.swept.stat), string(p.swept.status)
		if fields := strings.Fields(stat[strings.LastIndex(stat, ")"):]); len(fields) != 51 {
			t.Fatalf("stat has %d fields behind the name: %s", len(fields), stat)
		}
		if _, ok := procfile.Mask("stat", p.swept.stat); !ok {
			t.Fatalf("stat is not as it is known: %s", stat)
		}
		if !strings.Contains(status, fmt.Sprintf("\nPid:\t%d\n", p.pid)) || strings.Contains(status, "%!") {
			t.Fatal(status)
		}
		raw += len(stat) + len(status) + len(p.args) + len(p.swept.statm)
	}
	if each := raw / 200; each < 1400 || each > 2200 {
		t.Errorf("%d bytes a process", each)
	}
	if !slices.EqualFunc(n.processes(), n.processes(), func(a, b *process) bool { return a == b }) {
		t.Error("processes differ")
	}
}

// TestServed reads a served node over 9P, lets it change, and makes it fail.
func TestServed(t *testing.T) {
	c, err := Serve(t.TempDir(), []string{"n1", "n2"}, 7, 50, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	open := func() *ninep.Client {
		t.Helper()
		conn, err := net.Dial("unix", strings.TrimPrefix(c.Address("n2"), "unix:"))
		if err != nil {
			t.Fatal(err)
		}
		client, err := ninep.NewClient(t.Context(), conn, ninep.ClientConfig{})
		if err != nil {
			t.Fatal(err)
		}
		return client
	}
	client := open()
	defer client.Close()
	root, err := client.Attach(t.Context(), vfs.Root, "snapshot")
	if err != nil {
		t.Fatal(err)
	}
	node, err := root.(vfs.Dir).Walk(t.Context(), snapshot.SweepFile)
	if err != nil {
		t.Fatal(err)
	}
	h, err := ninep.OpenRW(t.Context(), node)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	req := snapshot.Request{Files: []string{"stat", "status"}, Remember: true}
	table, err := snapshot.Fetch(t.Context(), h.(snapshot.RPC), req, nil, snapshot.Limits{})
	if err != nil || table.Len() != 50 {
		t.Fatalf("%v, %v", table, err)
	}
	c.Churn(0.2)
	next, err := snapshot.Fetch(t.Context(), h.(snapshot.RPC), req, table, snapshot.Limits{})
	if err != nil || next.Len() != 50 {
		t.Fatalf("%v, %v", next, err)
	}
	changed := 0
	for i := range next.Len() {
		j, ok := table.Find(next.PID(i))
		a, _ := next.File(i, 0)
		if !ok {
			changed++
		} else if b, _ := table.File(j, 0); string(a) != string(b) {
			changed++
		}
	}
	if changed != 10 {
		t.Errorf("%d of 50 processes have changed, not a fifth", changed)
	}
	c.Fail(0, 1, 0)
	if _, err := snapshot.Fetch(t.Context(), h.(snapshot.RPC), req, nil, snapshot.Limits{}); err == nil {
		t.Error("a node that dies answered")
	}
	c.Fail(0, 0, 0)
	again := open()
	defer again.Close()
	if _, err := again.Attach(t.Context(), vfs.Root, ""); err != nil {
		t.Error(err)
	}
}

// TestSame makes the same node twice.
func TestSame(t *testing.T) {
	a, b, other := NewNode("n1", 3, 100), NewNode("n1", 3, 100), NewNode("n1", 4, 100)
	defer a.Close()
	defer b.Close()
	defer other.Close()
	for range 5 {
		a.Churn(0.1)
		b.Churn(0.1)
	}
	ids := func(n *Node) (ids []string) {
		for _, p := range n.processes() {
			ids = append(ids, strconv.Itoa(p.pid)+p.name+strconv.FormatUint(p.user, 10))
		}
		return ids
	}
	if !slices.Equal(ids(a), ids(b)) || slices.Equal(ids(a), ids(other)) {
		t.Error("a seed does not say what a node is")
	}
	if time.Since(a.boot) < time.Hour {
		t.Error("it has just booted")
	}
}

// TestThroughout has processes end and start, or not, and compares who lived throughout with what
// is there.
func TestThroughout(t *testing.T) {
	c, err := Serve(t.TempDir(), []string{"n1", "n2"}, 11, 100, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	lived := func() (all []string) {
		c.Throughout(func(node string, pid int) { all = append(all, node+":"+strconv.Itoa(pid)) })
		return all
	}
	now := func() (all []string) {
		for _, n := range c.Nodes {
			for _, p := range n.processes() {
				all = append(all, n.Name+":"+strconv.Itoa(p.pid))
			}
		}
		return all
	}
	if got := lived(); len(got) != 0 {
		t.Errorf("without a mark %d have lived since", len(got))
	}
	c.Freeze(true)
	c.Mark()
	before := c.Nodes[0].processes()
	c.Churn(0.5)
	if got := lived(); len(got) != 200 || !slices.Equal(got, now()) {
		t.Errorf("of frozen nodes' 200 processes %d have lived throughout", len(got))
	}
	if after := c.Nodes[0].processes(); slices.Equal(before, after) {
		t.Error("a frozen node's processes do not run on")
	}
	c.Freeze(false)
	c.Mark()
	was := now()
	c.Live(0.5)
	wait.Until(t, "processes end and start", func() bool { return len(lived()) < 190 })
	c.Live(0)
	is := now()
	want := slices.DeleteFunc(was, func(name string) bool { return !slices.Contains(is, name) })
	if got := lived(); !slices.Equal(got, want) {
		t.Errorf("%d have lived throughout, %d are there as before", len(got), len(want))
	}
	c.Churn(0.5)
	if got := lived(); len(got) >= len(want) {
		t.Errorf("%d of %d have lived throughout", len(got), len(want))
	}
}
