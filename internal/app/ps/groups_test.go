package ps

import (
	"reflect"
	"strings"
	"testing"
)

// Groups are the sums of the rows that are selected, whatever limit there is.
func TestGroups(t *testing.T) {
	for by, want := range map[string]string{
		"node":    "NODE  PROCS  NODES  TIME    RSS\nn1    2      1      101.75  102047\nn2    1      1      9.00    100\n",
		"user":    "USER  PROCS  NODES  TIME    RSS\nann   2      2      109.25  100099\nroot  1      1      1.50    2048\n",
		"job":     "JOB  PROCS  NODES  TIME    RSS\n-    3      2      110.75  102147\n",
		"command": "COMMAND    PROCS  NODES  TIME    RSS\nsolver     1      1      100.25  99999\ninit       1      1      1.50    2048\n[kthread]  1      1      9.00    100\n",
	} {
		q, err := Options{GroupBy: by, Limit: 1}.parse()
		if err != nil {
			t.Fatal(err)
		}
		rows, _, err := q.read(strings.NewReader(psTable), newProgress(nil))
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := writeGroups(&out, groupsOf(rows, by), by, true); err != nil || out.String() != want {
			t.Errorf("by %s: %v\n%s", by, err, out.String())
		}
		if by == "node" {
			got := groupsOf(rows, by)[1].object(by)
			if want := (map[string]any{"node": "n2", "procs": 1, "nodes": 1, "time": 9.0, "rss": int64(100)}); !reflect.DeepEqual(got, want) {
				t.Errorf("%v", got)
			}
		}
	}
	for _, o := range []Options{{GroupBy: "mood"}, {GroupBy: "node", Columns: "pid"}, {GroupBy: "node", Sort: "rss"}} {
		if _, err := o.parse(); err == nil || !strings.Contains(err.Error(), "--group-by") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
