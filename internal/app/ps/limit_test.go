package ps

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// TestLimit: the first rows by a selection are those of the whole table when it is sorted,
// ties included, however many are asked for.
func TestLimit(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var table []*report.Process
	for i := range 1000 {
		table = append(table, &report.Process{GPID: gpid.GPID(i + 1), RSS: random.Int64N(20), User: string(rune('a' + random.IntN(3)))})
	}
	for _, order := range []string{"", "rss", "-rss", "user,-rss", "-user,rss,-pid"} {
		q, err := Options{Sort: order}.parse()
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Clone(table)
		sortRows(want, q.keys)
		for _, limit := range []int{1, 2, 19, 999, 1000, 1001} {
			s := selection{keys: q.keys, limit: limit}
			for _, p := range table {
				s.take(p)
			}
			if got := s.all(); !slices.Equal(got, want[:min(limit, len(want))]) {
				t.Errorf("--sort %q --limit %d: other rows than the first of all", order, limit)
			}
		}
	}
}

// TestLimitOutput: --limit cuts what is printed, and a number that is none is refused.
func TestLimitOutput(t *testing.T) {
	q, err := Options{Columns: "pid,time", Sort: "-time", NoHeaders: true, Limit: 2}.parse()
	if err != nil {
		t.Fatal(err)
	}
	rows, g, err := q.read(strings.NewReader(psTable+"# missing n3 silent\n"), newProgress(nil))
	if err != nil || len(g.Remarks) != 1 {
		t.Fatalf("remarks %v, error %v", g.Remarks, err)
	}
	var out strings.Builder
	if err := write(&out, rows, q.columns, false, screen{}); err != nil || out.String() != "10000070 100.25\n20000070   9.00\n" {
		t.Errorf("%v\n%s", err, out.String())
	}
	if _, err := (Options{Limit: -1}).parse(); err == nil || !strings.Contains(err.Error(), "--limit") {
		t.Errorf("--limit -1: %v", err)
	}
}

// TestManyRows: rows of many batches are printed in their order, as wide as the widest of all.
func TestManyRows(t *testing.T) {
	var rows []*report.Process
	for i := range 5*batch + 7 {
		rows = append(rows, &report.Process{Node: "n1", GPID: gpid.GPID(i + 1)})
	}
	rows[3*batch].Node = "a-longer-name"
	q, err := Options{Columns: "pid,node,npid"}.parse()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := write(&out, rows, q.columns, true, screen{}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != len(rows)+1 {
		t.Fatalf("%d lines of %d rows", len(lines), len(rows))
	}
	for i, line := range lines {
		if len(line) != len(lines[0]) {
			t.Fatalf("line %d is %q, line 0 %q", i, line, lines[0])
		}
		if i > 0 && strings.Fields(line)[0] != rows[i-1].GPID.String() {
			t.Fatalf("line %d is %q", i, line)
		}
	}
}

// TestReadInBackground: what is read in the background is all that there is, in order, an error at
// its end included; and whoever stops early waits for no more than the read under way.
func TestReadInBackground(t *testing.T) {
	text := strings.Repeat("0123456789\n", 100_000)
	table, end := whileParsed(io.MultiReader(strings.NewReader(text), iotest.ErrReader(syscall.EHOSTDOWN)))
	got, err := io.ReadAll(table)
	end()
	if string(got) != text || !errors.Is(err, syscall.EHOSTDOWN) {
		t.Errorf("%d bytes of %d, error %v", len(got), len(text), err)
	}
	table, end = whileParsed(strings.NewReader(text))
	if _, err := table.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	end()
}
