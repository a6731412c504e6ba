package mount

import (
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

func TestOlder(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 500e6, time.UTC)
	const up = time.Hour // booted at 11:00:00.5
	const head = "NODE  INDEX  STATE  ANSWERED  LATENCY  PROCS  BOOTED  VERSION  ADDRESS  ERROR\n"
	for _, test := range []struct {
		name, booted string
		want         time.Duration
	}{
		{"this machine", "2026-03-01T11:00:00Z", 0},
		{"nearly together", "2026-03-01T10:59:59Z", 0},
		{"younger", "2026-03-01T11:30:00Z", 0},
		{"older", "2026-03-01T10:00:00Z", time.Hour + time.Second},
		{"oldest of two", "2026-03-01T10:00:00Z 2026-03-01T09:00:00Z", 2*time.Hour + time.Second},
		{"another zone", "2026-03-01T12:00:00+02:00", time.Hour + time.Second},
		{"not known", "-", 0},
		{"future", "2027-01-01T00:00:00Z", 0},
		{"clock never set", "1970-01-01T00:00:07Z", 0},
		{"that and another", "1970-01-01T00:00:07Z 2026-03-01T10:00:00Z", time.Hour + time.Second},
		{"no time", "yesterday", 0},
	} {
		var table strings.Builder
		table.WriteString(head)
		for _, booted := range strings.Fields(test.booted) {
			table.WriteString("n1 1 up 0.0s 0.1ms 12 " + booted + " 1.0 unix:/x -\n")
		}
		nodes, err := report.ParseNodes([]byte(table.String()))
		if (err != nil) != (test.booted == "yesterday") {
			t.Errorf("%s: %v", test.name, err)
		}
		if got := older(nodes, now, up); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
	if nodes, err := report.ParseNodes(nil); err == nil || older(nodes, now, up) != 0 {
		t.Errorf("no table at all: %v, %v", nodes, err)
	}
	for _, table := range []string{head, head + "n1 1\n", "NODE\nn1\n"} {
		if nodes, err := report.ParseNodes([]byte(table)); err != nil || older(nodes, now, up) != 0 {
			t.Errorf("%q: %v, %v", table, nodes, err)
		}
	}
}
