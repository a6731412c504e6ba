package report

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/command"
	"github.com/aggrfs/aggrfs/internal/plaintext"
)

// What is said of the allocations, to who sees everything and to others, who learn
// nothing that the source printed; only a source that is well is "ok".
func TestSourceText(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	run := &command.Error{Argv: []string{"/usr/bin/squeue"}, Brief: "exited 1", Complaint: "of bob"}
	bad := access.Mistakes{Count: 2, First: access.Mistake{Line: 7, Text: "bob n[1-\x1b", Reason: "no end"}}
	for _, tc := range []struct {
		s            access.SourceState
		state, whole string
		others       string
	}{
		{access.SourceState{Read: ago(12 * time.Second), Count: 3, Waiting: 1}, "ok", "12s old, 3 rows, 1 without nodes", "12s old"},
		{access.SourceState{}, "starting", "none yet", "none yet"},
		{access.SourceState{Err: errors.New("no /f of bob"), Since: now}, "failing", "none yet, no /f of bob", "none yet, cannot be read"},
		{access.SourceState{Read: ago(4 * time.Minute), Err: run, Since: now}, "stale", "4m old, command /usr/bin/squeue: exited 1: of bob", "4m old, command exited 1"},
		{access.SourceState{Read: ago(3 * time.Hour), Err: run, Over: true}, "lost", "nothing is allocated any more, command /usr/bin/squeue: exited 1: of bob", "nothing is allocated any more, command exited 1"},
		{access.SourceState{Read: ago(0), Bad: bad}, "mistakes", `0s old, 0 rows, 2 lines not understood, the first line 7 "bob n[1-\x1b": no end`, "0s old, 2 lines not understood, the first line 7"},
		{access.SourceState{Read: ago(0), Count: 1, Unknown: []string{"bobb (line 3)"}}, "unknown", "0s old, 1 rows, not in the user database: bobb (line 3)", "0s old"},
		{access.SourceState{Read: ago(2 * time.Second), Count: 3, Bad: access.Mistakes{Count: 3}, Err: &access.BadTable{Name: "/f", Bad: bad}, Since: now}, "stale",
			`2s old (the newest table is not understood: line 7 "bob n[1-\x1b": no end); of the one in use 3 lines are passed over`,
			"2s old (the newest table is not understood: line 7); of the one in use 3 lines are passed over"},
		{access.SourceState{Read: ago(2 * time.Second), Bad: bad, Err: run, Since: now}, "stale",
			"2s old, command /usr/bin/squeue: exited 1: of bob; of the one in use 2 lines are passed over", "2s old, command exited 1; of the one in use 2 lines are passed over"},
		{access.SourceState{Err: &access.BadTable{Name: "/f", Bad: bad}, Since: now}, "failing",
			`none yet (the newest table is not understood: line 7 "bob n[1-\x1b": no end)`, "none yet (the newest table is not understood: line 7)"},
		{access.SourceState{Read: ago(3 * time.Hour), Bad: bad, Err: run, Over: true}, "lost",
			"nothing is allocated any more, command /usr/bin/squeue: exited 1: of bob", "nothing is allocated any more, command exited 1"},
	} {
		whole, others := AllocationsText(&tc.s, now, true), AllocationsText(&tc.s, now, false)
		if got := AllocationsState(&tc.s); got != tc.state || whole != tc.whole || others != tc.others || tc.s.Well() != (got == "ok") {
			t.Errorf("%s, %q, %q; want %s, %q, %q", got, whole, others, tc.state, tc.whole, tc.others)
		}
		if strings.Contains(others, "bob") || strings.Contains(string(plaintext.Table([][]string{{whole}})), "\x1b") {
			t.Errorf("%q, %q", others, whole)
		}
	}
}
