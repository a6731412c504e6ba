package report

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
)

var began = time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)

// The text of each kind of rows is public: people, scripts and programs of other versions read
// it.
func TestText(t *testing.T) {
	process := Process{Node: "n1", PID: 70, GPID: 10000070, PPID: 10000001, User: "ann", State: 'S', CPU: 10025, RSS: 99999, TTY: "pts/30", Start: began, Command: []byte("./solver\x00--in\x00a b\n")}
	odd := Process{Node: "login0001", PID: 4194304, GPID: math.MaxInt32, PPID: -1, User: `CORP\ann lee é`, State: 'D', CPU: 7, RSS: 1 << 40, Start: began, Command: []byte("[kthread/0]")}
	for _, tc := range []struct{ name, got, want string }{
		{"ps", string(odd.AppendText(process.AppendText(AppendProcessHeader(nil, 5), 5), 5)), "" +
			"NODE      PID       GPID       PPID USER     S        CPU        RSS TTY    START                COMMAND\n" +
			"n1         70   10000070   10000001 ann      S     100.25      99999 pts/30 2026-11-25T08:00:00Z ./solver --in a b\\n\n" +
			"login0001 4194304 2147483647         -1 CORP\\\\ann\\040lee\\040é D       0.07 1099511627776 -      2026-11-25T08:00:00Z [kthread/0]\n"},
		{"nodes", string(EncodeNodes([]Node{
			{Name: "n1", Index: 1, State: StateUp, Answered: 1, Latency: 1234567, Procs: new(uint64), Missed: new(uint64(3)), Booted: began, Version: "1.2", Address: "unix:/run/a b"},
			{Name: "n2", Index: 12, State: "silent", Stale: Age(3250 * time.Millisecond), Problem: "no answer\nto a probe"},
		})), "" +
			"NODE  INDEX  STATE   ANSWERED  LATENCY  PROCS  MISSED  BOOTED                VERSION  STALE  LOAD  %CPU  %MEM  ADDRESS           ERROR\n" +
			"n1    1      up      0.0s      1.23ms   0      3       2026-11-25T08:00:00Z  1.2      -      -     -     -     unix:/run/a\\040b  -\n" +
			"n2    12     silent  -         -        -      -       -                     -        3.2s   -     -     -     -                 no answer\\nto a probe\n"},
		{"where", string(EncodeWhere(Where{Node: "n12", PID: 3456, GPID: 120003456, User: "ann", Command: "./solver --steps 10000"})), "" +
			"NODE  PID   GPID       USER  COMMAND\n" +
			"n12   3456  120003456  ann   ./solver --steps 10000\n"},
		{"jobs", JobsHeader + string(Job{GPID: 10000070, Job: "42[7].server", Unit: "a b.service"}.AppendText(nil)), "GPID JOB STEP UNIT CONTAINER POD\n10000070 42[7].server - a\\040b.service - -\n"},
		{"details", DetailsHeader + string(Detail{10000070, 1024, 3, 19, new(int64(-5))}.AppendText(nil)) + string(Detail{GPID: 7}.AppendText(nil)), "GPID VSZ NLWP PRI NI\n10000070 1024 3 19 -5\n7 0 0 0 -\n"},
		{"remarks", string(Remark{Kind: Stale, Node: "n4", Age: Age(3200 * time.Millisecond)}.AppendText(Remark{Kind: Missing, Node: "n2", Reason: "down: a\nb"}.AppendText(nil))),
			"# missing n2 down: a\\nb\n# stale n4 3.2s\n"},
		{"whoami", string(EncodeWhoami(Whoami{User: UserText("bob", 1002), Groups: "1002,27", Rule: "yours", Nodes: NodesText([]string{"n2", "n1"}), Processes: UserText("7", 7), Until: "2026"})), "" +
			"user         bob (1002)\ngroups       1002,27\ncertificate  -\nrule         yours\nplace        -\nnodes        2: n[1-2]\nprocesses    7\ndenied       -\nuntil        2026\n"},
		{"status", string(EncodeStatus([]Part{{Name: "nodes", State: OK, Detail: "3 up"}, {Name: "policy", State: "refused", Since: began, Detail: "line 3"}})), "" +
			"PART    STATE    SINCE                 DETAIL\nnodes   ok       -                     3 up\npolicy  refused  2026-11-25T08:00:00Z  line 3\n"},
		{"hints", string(EncodeHints(Hints{Connect: time.Second, Read: 2 * time.Second, Sweep: 1500 * time.Millisecond, Remarks: true})),
			"connect  1s\nread     2s\nsweep    1.5s\nremarks  yes\n"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s is\n%s\nand not\n%s", tc.name, tc.got, tc.want)
		}
	}
}

// Tables of other versions have other columns, remarks, facts and hints.
func TestOtherVersions(t *testing.T) {
	older, err := ParseNodes([]byte("NODE INDEX STATE PROCS ERROR\nn1 1 up 11 -\nn2 2 silent - no answer  in 2s\n"))
	want := []Node{{Name: "n1", Index: 1, State: "up", Procs: new(uint64(11))}, {Name: "n2", Index: 2, State: "silent", Problem: "no answer  in 2s"}}
	if err != nil || !reflect.DeepEqual(older, want) {
		t.Errorf("%+v, %v", older, err)
	}
	newer, err := ParseNodes([]byte("MOOD NODE\n0.5 n1\n# news\n\n0.7 n2\n"))
	if err != nil || !reflect.DeepEqual(newer, []Node{{Name: "n1"}, {Name: "n2"}}) {
		t.Errorf("%+v, %v", newer, err)
	}
	jobs, remarks, err := ParseJobs([]byte("JOB STEP GPID\n42 0 70\n# later news\n# lacking n1\n"))
	if err != nil || !reflect.DeepEqual(jobs, []Job{{GPID: 70, Job: "42", Step: "0"}}) || !reflect.DeepEqual(remarks, []Remark{{Kind: Lacking, Node: "n1", Reason: "it did not answer"}}) {
		t.Errorf("%+v, %+v, %v", jobs, remarks, err)
	}
	if w := ParseWhoami([]byte("user  bob (1002)\nmood  fine\ndenied  -\nuntil\n")); w != (Whoami{User: "bob (1002)"}) {
		t.Errorf("%+v", w)
	}
	if h := ParseHints([]byte("read 1h\nsweep -1s\nfuture 1\nx\nremarks maybe\n")); h != (Hints{Read: MaxPatience}) {
		t.Errorf("odd hints are %+v", h)
	}
	hints := Hints{Connect: time.Second, Read: 2 * time.Second, Sweep: 1500 * time.Millisecond, Remarks: true}
	if h := ParseHints(EncodeHints(hints)); h != hints {
		t.Errorf("%+v", h)
	}
	for text, name := range map[string]string{"bob (1002)": "bob", "1002": "1002", "a (b) (7)": "a (b)", "": ""} {
		if got := UserName(text); got != name {
			t.Errorf("%q is %q", text, got)
		}
	}
}

// What a known column holds is of its kind.
func TestRefusedTables(t *testing.T) {
	const head = "NODE PID GPID PPID USER S CPU RSS START COMMAND\n"
	for _, row := range []string{
		"n1 x 7 1 ann S 1.00 1 2026-11-25T08:00:00Z a", "n1 7 99999999999 1 ann S 1.00 1 2026-11-25T08:00:00Z a", "n1 7 7 - ann S 1.00 1 2026-11-25T08:00:00Z a",
		"n1 7 7 1 ann SS 1.00 1 2026-11-25T08:00:00Z a", "n1 7 7 1 ann S NaN 1 2026-11-25T08:00:00Z a", "n1 7 7 1 ann S -1 1 2026-11-25T08:00:00Z a",
		"n1 7 7 1 ann S 1e300 1 2026-11-25T08:00:00Z a", "n1 7 7 1 ann S 1.00 1.5 2026-11-25T08:00:00Z a", "n1 7 7 1 ann S 1.00 1 yesterday a", "n1 7 7 1 ann", "# stale n1 old", "# stale n1",
	} {
		if _, err := ReadProcesses(strings.NewReader(head+row+"\n"), func(Process) {}); err == nil {
			t.Errorf("%q is taken", row)
		}
	}
	for _, text := range []string{
		"", "NODE", "INDEX STATE\n1 up\n", "NODE INDEX\nn1 one\n", "NODE PROCS\nn1 -1\n", "NODE STALE\nn1 -2s\n", "NODE LATENCY\nn1 1\n", "NODE BOOTED\nn1 yesterday\n",
		"NODE " + strings.Repeat("x", maxLine+1<<20) + "\n", strings.Repeat("X ", 1000) + "NODE\n1 2 3\n",
	} {
		if rows, err := ParseNodes([]byte(text)); err == nil {
			t.Errorf("%.40q is %+v", text, rows)
		}
	}
}

// JSON has the keys, the kinds and the order that it always had.
func TestAnswer(t *testing.T) {
	var out strings.Builder
	a := Answer{At: began.Add(123456789), Remarks: []Remark{{Kind: Stale, Node: "n3", Age: 1}, {Kind: Lacking, Node: "n4", Reason: `a\b`}, {Kind: Stale, Node: "n5"}, {Kind: Missing, Node: "n2", Reason: "down"}}, NoNodes: true}
	if err := WriteRows(&out, a, []Node{{Name: "n1", Procs: new(uint64(7)), Version: "a b", Problem: "x y"}}); err != nil {
		t.Fatal(err)
	}
	if err := WriteRows(&out, Answer{At: began}, []Whoami{{User: "bob (1002)", Allocations: "1s old"}}); err != nil {
		t.Fatal(err)
	}
	if err := WriteRows(&out, Answer{At: began}, []Where{}); err != nil {
		t.Fatal(err)
	}
	const want = `{"version":1,"at":"2026-11-25T08:00:00.123Z","missing":[{"node":"n2","reason":"down"}],"lacking":[{"node":"n4","reason":"a\\\\b"}],"stale":[{"node":"n3","age":"0.0s"},{"node":"n5","age":"-"}],"no_nodes":true,"rows":[
{"%cpu":null,"%mem":null,"address":null,"answered":null,"booted":null,"error":"x y","index":0,"latency":null,"load":null,"missed":null,"node":"n1","procs":7,"stale":null,"state":null,"version":"a\\040b"}
]}
{"version":1,"at":"2026-11-25T08:00:00Z","missing":[],"stale":[],"rows":[
{"allocations":"1s old","certificate":null,"denied":null,"groups":null,"nodes":null,"place":null,"processes":null,"rule":null,"user":"bob (1002)"}
]}
{"version":1,"at":"2026-11-25T08:00:00Z","missing":[],"stale":[],"rows":[
]}
`
	if out.String() != want {
		t.Errorf("%s\nand not\n%s", out.String(), want)
	}
	p := Process{User: "a b", CPU: 150, Start: began, Command: []byte("x\\y"), Place: &Job{Job: "7_1"}}
	for name, want := range map[string]any{"user": `a\040b`, "args": `x\\y`, "job": "7_1", "start": "2026-11-25T08:00:00Z"} {
		for _, c := range ProcessColumns() {
			if got := c.Cell(&p); c.Name == name && got != want {
				t.Errorf("%s is %#v", name, got)
			}
		}
	}
}

// HideParent changes nothing but the parent.
func TestHideParent(t *testing.T) {
	p := Process{Node: "n1", PID: 70, GPID: 10000070, PPID: 10000001, User: "ann", State: 'S', Start: began, Command: []byte("a")}
	hidden := p
	hidden.PPID = 0
	line, want := p.AppendText(nil, 6), hidden.AppendText(nil, 6)
	HideParent(line, 6, func(g gpid.GPID) bool { return g == 10000001 })
	if !bytes.Equal(line, p.AppendText(nil, 6)) {
		t.Errorf("a parent that is shown: %s", line)
	}
	HideParent(line, 6, func(gpid.GPID) bool { return false })
	if !bytes.Equal(line, want) {
		t.Errorf("%s and not %s", line, want)
	}
	HideParent(line[:20], 6, func(gpid.GPID) bool { t.Error("there is none"); return true })
}

// BenchmarkAppendText writes a line of cluster/ps.
func BenchmarkAppendText(b *testing.B) {
	p := Process{Node: "n0001", PID: 3456, GPID: 10003456, PPID: 10000001, User: "ann", State: 'S', CPU: 15, RSS: 13280, Start: began, Command: []byte("/usr/local/bin/solver\x00--steps\x0010000\x00--input\x00/home/ann/model.in")}
	b.ReportAllocs()
	for line := []byte(nil); b.Loop(); {
		line = p.AppendText(line[:0], 5)
	}
}
