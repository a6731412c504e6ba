package access

import (
	"strings"
	"testing"
	"time"
)

func TestParseAllocations(t *testing.T) {
	zone := time.FixedZone("there", 3600)
	got, err := ParseAllocations("t", []byte(`# squeue --noheader --states=R,S --format="%u %N %e"
ann n[001-003] 2026-11-25T18:00:00
bob  n7   Unknown
bob  n8
1003 n9 1764000000
cy n1 2026-11-25T18:00:00Z
ann 2026-11-25T18:00:00
ann
`+"bob n6 NONE\r\n\n \t\ncy n5 None\n"), zone)
	if err != nil || got.Bad.Count > 0 || got.Waiting != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	want := []Allocation{
		{"ann", set(t, "n[001-003]"), time.Date(2026, 11, 25, 17, 0, 0, 0, time.UTC), 2},
		{"bob", set(t, "n7"), time.Time{}, 3},
		{"bob", set(t, "n8"), time.Time{}, 4},
		{"1003", set(t, "n9"), time.Unix(1764000000, 0), 5},
		{"cy", set(t, "n1"), time.Date(2026, 11, 25, 18, 0, 0, 0, time.UTC), 6},
		{"bob", set(t, "n6"), time.Time{}, 9},
		{"cy", set(t, "n5"), time.Time{}, 12},
	}
	if len(got.Allocations) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if a := got.Allocations[i]; !a.equal(want[i]) || a.Line != want[i].Line {
			t.Errorf("line %d: %v, want %v", i, a, want[i])
		}
	}
}

// One line of a table, and what becomes of it: its nodes, a job without nodes, or a
// mistake that costs itself alone. The lines are what squeue prints for %u, %N (or %R)
// and %e: as its manual has them ("NODELIST(REASON)", SLURM_TIME_FORMAT), the words
// those of slurm_make_time_str() and of print_job_time_end() of Slurm 22.05.
func TestOddLines(t *testing.T) {
	for line, want := range map[string]string{
		"cy n[1-2] 2099-01-01T00:00:00": "n[1-2]",
		"cy n1 N/A":                     "n1",
		"cy n1 NOT_SET":                 "n1",
		"cy n1 Unknown":                 "n1",
		"cy n1 UNLIMITED":               "n1",
		"cy n1 -":                       "n1",
		"cy (null) N/A":                 "waiting",
		"cy (null) 2099-01-01T00:00:00": "waiting",
		"cy (null)":                     "waiting",
		"cy (Priority) N/A":             "waiting",
		"cy (Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions) N/A": "waiting",
		"cy (launch failed requeued held)":       "waiting",
		"cy   N/A":                               "waiting",
		"cy  Unknown":                            "waiting",
		"cy":                                     "waiting",
		"USER NODELIST END_TIME":                 "--noheader",
		"USER NODELIST(REASON) END_TIME":         "--noheader",
		"USER":                                   "--noheader",
		"cy n1 16:00:00":                         "SLURM_TIME_FORMAT",
		"cy n1 Tomorr 09:00":                     "4 columns; there must be USER NODESET [END] (squeue's %e with SLURM_TIME_FORMAT",
		"cy n1 Sat 02:17":                        "SLURM_TIME_FORMAT",
		"cy n1 1-02:00:00":                       `"1-02:00:00" is no time`,
		"cy n1 INVALID":                          "no time",
		"cy n1 2099-01-01T00:00:00 R":            "4 columns",
		"cy n[1- 2099-01-01T00:00:00":            "n[1-",
		"cy n[1-999999999]":                      "n[1-999999999]",
		"cy n[1-2]] -":                           "]",
		"(null) n1 -":                            "no user",
		"cy (null -":                             "no closing bracket",
		"cy (null) 2099-01-01T00:00:00 R":        "columns behind",
		"squeue: error: Invalid user for munge":  "no user",
		"slurm_load_jobs error: Unable to reach": "columns",
		"cy\x1b[31m \x1b[32m":                    "",
		strings.Repeat("x", 3<<20) + " " + strings.Repeat("y[", 5): "",
	} {
		got, err := ParseAllocations("t", []byte("ann n7 -\n"+line+"\nbob n8 -\n"), time.UTC)
		if err != nil || len(got.Allocations) < 2 || got.Allocations[0].User != "ann" || got.Allocations[len(got.Allocations)-1].User != "bob" {
			t.Errorf("%.60q takes others' rows: %v, %v", line, got.Allocations, err)
			continue
		}
		rest := got.Allocations[1 : len(got.Allocations)-1]
		switch {
		case want == "waiting":
			if got.Waiting != 1 || got.Bad.Count != 0 || len(rest) != 0 {
				t.Errorf("%.60q: %v, %v", line, rest, got.Bad)
			}
		case want != "" && want[0] == 'n' && len(rest) == 1:
			if rest[0].Nodes.String() != want || !rest[0].End.IsZero() && rest[0].End.Year() != 2099 || got.Bad.Count != 0 {
				t.Errorf("%.60q: %v, %v", line, rest, got.Bad)
			}
		default:
			m := got.Bad.First
			if got.Bad.Count != 1 || len(rest) > 0 || m.Line != 2 || !strings.Contains(m.Reason, want) || len(m.Text) > maxMistake || !strings.HasPrefix(strings.TrimSpace(line), m.Text) {
				t.Errorf("%.60q: %v, %d mistakes, %v; want %q", line, rest, got.Bad.Count, m, want)
			}
			if text := m.String(); strings.ContainsAny(text, "\x1b\n") {
				t.Errorf("%q is not escaped", text)
			}
		}
	}
}

// A table in which nothing is understood says nothing; one without a line says that
// nobody has anything, and so does one of waiting jobs.
func TestWholeTables(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "\n# nothing\n": "", "ann (null) N/A\n": "", "ann\nsqueue: error: x\n": "",
		"squeue: error: slurm_receive_msg: Zero Bytes\nx y z u v\n": "none of its lines is understood (2 in all); line 1 ",
	} {
		got, err := ParseAllocations("t", []byte(text), time.UTC)
		if want == "" && (err != nil || len(got.Allocations) > 0) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %+v, %v; want %q", text, got, err, want)
		}
	}
	// The rows that are too many cost themselves.
	many := "ann n1\n" + strings.Repeat("bob n[1-60000],n[%-60000]\n", 0)
	for i := range 80 {
		many += "bob x" + number(uint32(i)) + "y[1-60000]\n"
	}
	got, err := ParseAllocations("t", []byte(many), time.UTC)
	if err != nil || got.Bad.Count == 0 || !strings.Contains(got.Bad.First.Reason, "nodes in all lines") || len(got.Allocations)+got.Bad.Count != 81 {
		t.Errorf("%d, %+v, %v", len(got.Allocations), got.Bad, err)
	}
	if _, err := ParseAllocations("t", make([]byte, MaxAllocations+1), time.UTC); err == nil {
		t.Error("a table of any length is taken")
	}
}

func FuzzParseAllocations(f *testing.F) {
	f.Add([]byte("ann n[1-3] 2026-11-25T18:00:00\n"))
	f.Add([]byte("USER NODELIST END_TIME\nann (null) N/A\nann n1 Tomorr 09:00\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ParseAllocations("t", data, time.UTC)
		if err == nil && len(got.Allocations)+got.Waiting+got.Bad.Count > 1+len(data) {
			t.Fatalf("%d allocations of %d bytes", len(got.Allocations), len(data))
		}
	})
}

// A byte order mark in front of a table is no part of its first line.
func TestByteOrderMark(t *testing.T) {
	for _, text := range []string{"ann n[1-2]\nbob n3\n", "# a note\nann n[1-2]\nbob n3"} {
		table, err := ParseAllocations("t", []byte("\ufeff"+text), time.UTC)
		if err != nil || table.Bad.Count > 0 || len(table.Allocations) != 2 || table.Allocations[0].User != "ann" {
			t.Errorf("%q: %+v, %v", text, table, err)
		}
	}
}
