package report

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
)

// A process comes back from its text as it was.
func FuzzProcess(f *testing.F) {
	f.Add("n1", int32(70), int32(10000070), int64(1), "ann", byte('S'), uint64(150), int64(2048), uint32(1e9), []byte("./solver\x00--steps"))
	f.Add("a b\n", int32(-1), int32(0), int64(-1), `\-`, byte('\\'), uint64(1<<40), int64(-5), uint32(0), []byte("  \xff\\n"))
	f.Fuzz(func(t *testing.T, node string, pid, global int32, ppid int64, user string, state byte, cpu uint64, rss int64, start uint32, command []byte) {
		p := Process{
			Node: node, PID: gpid.PID(pid), GPID: gpid.GPID(global), PPID: ppid, User: user, State: 'A' + state%58, CPU: Centiseconds(cpu % (1 << 41)), RSS: rss,
			Start: time.Unix(int64(start), 0).UTC(), Command: bytes.ReplaceAll(command, []byte{0}, []byte(" ")),
		}
		if node == "-" || user == "-" || len(command) == 0 || strings.HasPrefix(node, "#") {
			return // no such names, and a command is never empty
		}
		text := p.AppendText(AppendProcessHeader(nil, 4), 4)
		var got []Process
		if _, err := ReadProcesses(bytes.NewReader(text), func(p Process) { got = append(got, p) }); err != nil || !reflect.DeepEqual(got, []Process{p}) {
			t.Fatalf("%+v\nis %q, and that\n%+v, %v", p, text, got, err)
		}
	})
}

// Any text is read or refused, and what is read comes back from its own text.
func FuzzTables(f *testing.F) {
	for _, text := range []string{
		string(EncodeNodes([]Node{{Name: "n1", Answered: 1, Latency: 1e6, Procs: new(uint64(7)), Missed: new(uint64), Booted: time.Unix(1e9, 0), Stale: 1e9, Problem: "a b"}})),
		string(EncodeWhere(Where{Node: "n1", PID: 7, GPID: 10000007, User: "ann", Command: "a  b"})),
		DetailsHeader + "70 1024 3 19 -5\n",
		JobsHeader + "70 42 0 - - -\n# missing n2 down\n# stale n3 3.2s\n#lacking n4\n",
		string(Job{GPID: 7, Job: "a"}.AppendText([]byte("NODE PID GPID PPID USER S CPU RSS START COMMAND\n"))),
		"NODE PID GPID PPID USER S CPU RSS START COMMAND\nn1 1 1 0 root S 1.5 7 2026-11-25T08:00:00Z  a \\n\n",
		string(EncodeWhoami(Whoami{User: "bob (1002)", Until: "x"})), "COMMAND NODE\n\n-\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		ParseHints(text)
		w := ParseWhoami(text)
		if again := ParseWhoami(EncodeWhoami(w)); again != w {
			t.Errorf("%+v\nis read again as\n%+v", w, again)
		}
		if rows, err := ParseNodes(text); err == nil {
			for i := range rows { // zones are written as UTC, and seconds in tenths
				rows[i].Remark()
			}
			first := EncodeNodes(rows)
			again, err := ParseNodes(first)
			if err != nil || !bytes.Equal(EncodeNodes(again), first) {
				t.Errorf("%s\nis read again as\n%s, %v", first, EncodeNodes(again), err)
			}
		}
		if rows, err := ParseWhere(text); err == nil {
			for _, row := range rows {
				if again, err := ParseWhere(EncodeWhere(row)); err != nil || !reflect.DeepEqual(again, []Where{row}) && row.Command == strings.TrimSpace(row.Command) {
					t.Errorf("%+v\nis read again as\n%+v, %v", row, again, err)
				}
			}
		}
		if rows, remarks, err := ParseJobs(text); err == nil {
			again := []byte(JobsHeader)
			for _, row := range rows {
				again = row.AppendText(again)
			}
			for _, r := range remarks {
				again = r.AppendText(again)
			}
			if got, more, err := ParseJobs(again); err != nil || !reflect.DeepEqual(got, rows) || len(more) != len(remarks) {
				t.Errorf("%+v, %+v\nis read again as\n%+v, %+v, %v", rows, remarks, got, more, err)
			}
		}
		if rows, _, err := ParseDetails(text); err == nil {
			again := []byte(DetailsHeader)
			for _, row := range rows {
				again = row.AppendText(again)
			}
			if got, _, err := ParseDetails(again); err != nil || !reflect.DeepEqual(got, rows) {
				t.Errorf("%+v\nis read again as\n%+v, %v", rows, got, err)
			}
		}
		var all []*Process
		if _, err := ReadProcesses(bytes.NewReader(text), func(p Process) { all = append(all, &p) }); err != nil {
			return
		}
		for _, p := range all {
			for _, c := range ProcessColumns() {
				c.Cell(p)
				c.Compare(p, all[0])
			}
		}
	})
}

// A remark comes back from its line as it was.
func FuzzRemark(f *testing.F) {
	f.Add("n1", "down: a\nb", uint32(3200))
	f.Add("n1", `  \n `, uint32(0))
	f.Fuzz(func(t *testing.T, node, reason string, ms uint32) {
		if node == "" || strings.ContainsAny(node, " \n") || reason == "" {
			return
		}
		for _, r := range []Remark{{Kind: Missing, Node: node, Reason: reason}, {Kind: Lacking, Node: node, Reason: reason}, {Kind: Stale, Node: node, Age: Age(ms/100+1) * Age(100*time.Millisecond)}} {
			line := string(r.AppendText(nil))
			if got, ok, err := ParseRemark(line); got != r || !ok || err != nil || strings.Count(line, "\n") != 1 {
				t.Errorf("%+v\nis %q, and that\n%+v, %v, %v", r, line, got, ok, err)
			}
		}
	})
}
