package gaps

import (
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/fakefront"
)

const nodesHead = fakefront.NodesHead

// What a table of nodes lacks is found by the names of its columns; where it does not
// count, as an older server's, by the state alone.
func TestNodesGaps(t *testing.T) {
	const rows = "n1 1 up - 11 0 -\nn2 2 silent 9.6s - 3 no answer in 2s\nn3 3 silent 3.2s 9 0 -\nn4 4 connecting - - 1 -\nn5 5 up 1.5s 7 0 -\nn6 6 up - 3 0 too many open files\nn7 7 up - - 1 no memory\n"
	want := Gaps{Remarks: []report.Remark{
		{Kind: report.Missing, Node: "n2", Reason: "silent: no answer in 2s"},
		{Kind: report.Stale, Node: "n3", Age: report.Age(3200 * time.Millisecond)},
		{Kind: report.Missing, Node: "n4", Reason: "connecting"},
		{Kind: report.Stale, Node: "n5", Age: report.Age(1500 * time.Millisecond)},
		{Kind: report.Lacking, Node: "n6", Reason: "too many open files"},
		{Kind: report.Missing, Node: "n7", Reason: "no memory"},
	}}
	if g := OfNodes(nodesOf(t, nodesHead+rows)); !reflect.DeepEqual(g, want) {
		t.Errorf("%+v", g)
	}
	old := strings.NewReplacer("MISSED", "VERSION").Replace(nodesHead) + rows
	if g := OfNodes(nodesOf(t, old)); g.Nodes(report.Missing).String() != "n[2-4,7]" || len(g.About(report.Stale))+len(g.About(report.Lacking)) > 0 {
		t.Errorf("an older server's: %+v", g)
	}
	if g := OfNodes(nodesOf(t, nodesHead)); !g.Blind || g.None() {
		t.Errorf("a view without nodes: %+v", g)
	}
}

// nodesOf are the rows of cluster/nodes.
func nodesOf(t *testing.T, text string) []report.Node {
	t.Helper()
	nodes, err := report.ParseNodes([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

// gapsOf are the gaps that remarks tell of.
func gapsOf(t *testing.T, lines ...string) (g Gaps) {
	t.Helper()
	for _, line := range lines {
		r, ok, err := report.ParseRemark(line)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			g.Remarks = append(g.Remarks, r)
		}
	}
	return g
}

func TestGapLines(t *testing.T) {
	var g Gaps
	if !g.None() || len(g.lines(3)) > 0 {
		t.Errorf("%q", g.lines(3))
	}
	g = gapsOf(t, "# missing n2 silent: no answer in 2s", "#missing n5", "# stale n3 3.2s", "#", "# ", "# missing", "# later news", "# lacking n8 2 processes could not be read there in time")
	want := []string{
		"no answer from 2 of 300 nodes, whose processes are not shown: n[2,5] (see aggrfs nodes)",
		"not all processes of n8 are shown: 2 processes could not be read there in time",
		"n3 did not answer in time: its rows are 3.2 s old",
	}
	if got := g.lines(300); !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
	g.Join(gapsOf(t, "# missing n2 again", "# missing n6 too", "# stale n4 11.5s", "# lacking n8 the same", "# lacking n9 x"))
	want = []string{
		"no answer from 3 nodes, whose processes are not shown: n[2,5-6] (see aggrfs nodes)",
		"not all processes of n[8-9] are shown (see aggrfs nodes)",
		"n[3-4] did not answer in time: their rows are up to 11.5 s old",
	}
	if got := g.lines(0); !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
	one := Gaps{Remarks: g.Remarks[:1]}
	for total, want := range map[int]string{
		0: "n2 does not answer: its processes are not shown (see aggrfs nodes)",
		1: "n2 does not answer: its processes are not shown (see aggrfs nodes)",
		2: "no answer from 1 of 2 nodes, whose processes are not shown: n2 (see aggrfs nodes)",
	} {
		if got := one.lines(total); !reflect.DeepEqual(got, []string{want}) {
			t.Errorf("%q", got)
		}
	}
}

// No row is no "no" while the process may be one that is missing, or has begun since the
// rows are of.
func TestHiding(t *testing.T) {
	g := gapsOf(t, "# missing n2 silent", "# stale n3 3.1s", "# lacking n4 no memory")
	old := gapsOf(t, "# stale n3 3.1s")
	for _, tc := range []struct {
		pids string
		g    Gaps
		want string // that is not known; "" is that it is known
	}{
		{"", g, "no answer from n2"}, {"20000001", g, "no answer from n2"}, {"n2:7", g, "no answer from n2"}, {"n1:7", g, ""}, {"n1:7 n2:7", g, "no answer from n2"},
		{"n3:7", g, "n3 did not answer in time: its rows are 3.1 s old"}, {"n4:7 n1:7", g, "not all processes of n4 are shown: no memory"},
		{"", Gaps{}, ""}, {"20000001", Gaps{}, ""}, {"n1:7", Gaps{Blind: true}, "you see no nodes"},
		{"", old, "its rows are 3.1 s old"}, {"30000007", old, "its rows are 3.1 s old"},
	} {
		var wanted []gpid.ID
		for pid := range strings.FieldsSeq(tc.pids) {
			id, err := gpid.ParseID(pid)
			if err != nil {
				t.Fatal(err)
			}
			wanted = append(wanted, id)
		}
		hiding := tc.g.Hiding(wanted)
		got := ""
		if !hiding.None() {
			got = NothingKnown("x", hiding).Error()
		}
		if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
			t.Errorf("%q with %+v: %q", tc.pids, tc.g, got)
		}
	}
}

// What a tree lacked between two looks is told once: not what was told at the first.
func TestSince(t *testing.T) {
	look := func(rows string) Look { return LookOf(nodesOf(t, nodesHead+rows)) }
	const well = "n1 1 up - 5 2 -\nn2 2 up - 5 0 -\n"
	for _, tc := range []struct {
		name, before, after string
		missing, left       string
		another             bool // server
	}{
		{"nothing", well, well, "", "", false},
		{"missing at the end", well, "n1 1 up - 5 2 -\nn2 2 silent - - 1 -\n", "n2", "", false},
		{"missing meanwhile", well, "n1 1 up - 5 3 -\nn2 2 up - 5 0 -\n", "n1", "", false},
		{"missing before", "n1 1 silent - - 2 -\nn2 2 up - 5 0 -\n", "n1 1 silent - - 7 -\nn2 2 up - 5 0 -\n", "", "", false},
		{"the server started again", well, "n1 1 up - 5 0 -\nn2 2 up - 5 0 -\n", "", "", true},
		{"an allocation that ended", well, "n2 2 up - 5 0 -\n", "", "n1", false},
		{"all of it", well, "", "", "n[1-2]", false},
	} {
		after := look(tc.after)
		missing, left, another := after.since(look(tc.before))
		if missing.String() != tc.missing || left.String() != tc.left || another != tc.another {
			t.Errorf("%s: %v, %v, %v", tc.name, missing, left, another)
		}
	}
}

// What exec says after its command is all that has been added since before it.
func TestTellSince(t *testing.T) {
	const before = "n1 1 up - 5 2 -\nn2 2 up - 5 0 short of descriptors\n"
	for _, tc := range []struct {
		after string
		gone  uint64 // how often the server has gone
		want  string
	}{
		{before, 0, ""},
		{before, 2, "while sh ran the server did not answer for a time, so that no process was shown\n"},
		{"n1 1 up - 5 2 2 processes could not be read\nn2 2 up - 5 0 short of memory\n", 0, "while sh ran not all processes of n1 were shown (see aggrfs nodes)\n"},
		{"n1 1 up - 5 3 -\nn2 2 up - 5 0 -\n", 0, "while sh ran the processes of n1 were missing or old for a time (see aggrfs nodes)\n"},
		{"n1 1 up 1.5s 5 2 -\n", 0, "while sh ran n1 did not answer in time, so that old rows were shown, and n2 left your view (see aggrfs whoami)\n"},
	} {
		socket := filepath.Join(t.TempDir(), "s")
		front := fakefront.Serve(t, socket, map[string]string{"nodes": nodesHead + before})
		var told strings.Builder
		env := &client.Env{Log: slog.New(slog.DiscardHandler), Stderr: &told, DefaultServer: "unix:" + socket, UIDMap: "/proc/self/uid_map"}
		tree, err := (&client.Source{Env: env}).Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tree.Close()
		nodes, err := tree.Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		first := LookOf(nodes)
		front.Change("cluster/nodes", vfstest.File{Data: []byte(nodesHead + tc.after)})
		if whole := TellSince(t.Context(), env, tree, first, tc.gone, "sh"); whole != (tc.want == "") || strings.TrimPrefix(told.String(), "aggrfs: ") != tc.want {
			t.Errorf("%v, %q, want %q", whole, told.String(), tc.want)
		}
	}
}
