package ps

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

const psTable = `NODE     PID       GPID       PPID USER     S        CPU        RSS START                COMMAND
n1         1   10000001          0 root     S       1.50       2048 2026-11-25T08:00:00Z /sbin/init splash
n1        70   10000070   10000001 ann      R     100.25      99999 2026-11-25T09:00:00Z ./solver  --steps 10
n2        70   20000070   20000001 ann      S       9.00        100 2026-11-24T09:00:00Z [kthread]
`

// What is asked for is picked out of cluster/ps and printed.
func TestPSOutput(t *testing.T) {
	for _, tc := range []struct {
		o    query
		want string
	}{
		{query{Options: Options{Columns: "node,pid,args"}}, "NODE      PID COMMAND\nn1   10000001 /sbin/init splash\nn1   10000070 ./solver  --steps 10\nn2   20000070 [kthread]\n"},
		{query{Options: Options{Columns: "pid,time", Sort: "-time", NoHeaders: true}}, "10000070 100.25\n20000070   9.00\n10000001   1.50\n"},
		{query{Options: Options{Columns: "pid,rss", Sort: "user,-rss", NoHeaders: true}}, "10000070 99999\n20000070   100\n10000001  2048\n"},
		{query{Options: Options{Columns: "npid,node", NoHeaders: true}, owners: []string{"ann"}}, "70 n1\n70 n2\n"},
		{query{Options: Options{Columns: "cmd", PIDs: []string{"20000070"}, NoHeaders: true}}, "[kthread]\n"},
		{query{Options: Options{Columns: "pid,args", PIDs: []string{"n1:70", "10000001"}, NoHeaders: true}}, "10000001 /sbin/init splash\n10000070 ./solver  --steps 10\n"},
		{query{Options: Options{Columns: "pid,stat"}, owners: []string{"nobody"}}, "PID S\n"},
	} {
		q, err := tc.o.parse()
		if err != nil {
			t.Fatal(err)
		}
		q.owners = tc.o.owners
		rows, _, err := q.read(strings.NewReader(psTable), newProgress(nil))
		if err != nil {
			t.Fatal(err)
		}
		sortRows(rows, q.keys)
		var out strings.Builder
		if err := write(&out, rows, q.columns, !q.NoHeaders, screen{}); err != nil || out.String() != tc.want {
			t.Errorf("%+v: %v\n%s\nwant\n%s", tc.o, err, out.String(), tc.want)
		}
	}
	q, _ := Options{JSON: true}.parse()
	rows, g, _ := q.read(strings.NewReader(psTable+"# missing n3 silent: no answer in 2s\n# stale n1 3.2s\n# news of a later version\n"), newProgress(nil))
	var out strings.Builder
	at := time.Date(2026, 11, 25, 8, 0, 0, 123456789, time.FixedZone("", 7200))
	if err := g.Answer(at).Write(&out, len(rows), func(i int) map[string]any { return object(rows[i], q.columns) }); err != nil {
		t.Fatal(err)
	}
	var all struct {
		Version        int
		At             time.Time
		Missing, Stale []map[string]string
		Rows           []map[string]any
	}
	if err := json.Unmarshal([]byte(out.String()), &all); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if len(all.Rows) != 3 || all.Rows[1]["time"] != 100.25 || all.Rows[1]["args"] != "./solver  --steps 10" || all.Rows[0]["ppid"] != 0.0 {
		t.Errorf("%s", out.String())
	}
	if all.Version != 1 || all.At.Sub(at).Abs() > time.Millisecond ||
		!reflect.DeepEqual(all.Missing, []map[string]string{{"node": "n3", "reason": "silent: no answer in 2s"}}) ||
		!reflect.DeepEqual(all.Stale, []map[string]string{{"node": "n1", "age": "3.2s"}}) {
		t.Errorf("%s", out.String())
	}
}

// Columns are found by their names, and what ends in the middle of a line is no table.
func TestPSColumnsByName(t *testing.T) {
	const table = "GPID NODE NEW PID PPID USER S RSS CPU START COMMAND\n10000001 n1 x 1 0 root S 20 1.5 2026-11-25T08:00:00Z  init\n"
	var q query
	rows, _, err := q.read(strings.NewReader(table), newProgress(nil))
	want := report.Process{
		Node: "n1", PID: 1, GPID: 10000001, User: "root", State: 'S', CPU: 150, RSS: 20,
		Start: time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC), Command: []byte(" init"),
	}
	if err != nil || len(rows) != 1 || !reflect.DeepEqual(*rows[0], want) {
		t.Errorf("%+v, %v", rows, err)
	}
	for _, bad := range []string{"", "NODE PID\nn1 1\n", table[:len(table)-1], "GPID NODE"} {
		if rows, _, err := q.read(strings.NewReader(bad), newProgress(nil)); err == nil {
			t.Errorf("%q: %+v", bad, rows)
		}
	}
}
