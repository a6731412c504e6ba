package snapshot

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aggrfs/aggrfs/test/wait"
)

// decoded are a table and what became of it by two differences: one in which some of its
// processes are others, and one in which all are.
func decoded(t *testing.T, rows []row, freed *atomic.Bool) (tables [3]*Table) {
	t.Helper()
	files := []string{"stat", "status"}
	var base, held *Table
	for step := range tables {
		var b Builder
		for i := range rows {
			if step == 2 || step == 1 && i%20 == 0 {
				rows[i].Files[0].Content, rows[i].Files[0].Errno = rows[i].Files[0].Content+"more\n", 0
			}
		}
		base = tableOf(t, &b, base, files, rows)
		req := Request{Files: files, Remember: true}
		if held != nil {
			req.Held = held.Generation()
		}
		answer := base.Answer(req, 0)
		var err error
		if held, err = Decode(held, answer, Limits{}); err != nil {
			t.Fatal(err)
		}
		tables[step] = held
		if step == 2 {
			runtime.AddCleanup(&answer[0], func(int) { freed.Store(true) }, 0)
		}
	}
	return tables
}

// Only are processes of a table as they were in it; tables share their records until they are
// copied together, and then do not hold the answer that was copied.
func TestOnly(t *testing.T) {
	rows := testRows(2000, 2)
	var freed atomic.Bool
	tables := decoded(t, rows, &freed)
	if !tables[0].Shares(tables[1]) || tables[1].Shares(tables[2]) {
		t.Errorf("the first shares with the second: %v; the second with the third: %v", tables[0].Shares(tables[1]), tables[1].Shares(tables[2]))
	}
	if d := cmp.Diff(rows, rowsOf(tables[2])); d != "" {
		t.Error(d)
	}
	wait.Until(t, "the answer is not held", func() bool { runtime.GC(); return freed.Load() })
	for _, table := range tables {
		var some []int
		var want []row
		all := rowsOf(table)
		for i := 3; i < table.Len(); i += 7 {
			some, want = append(some, i), append(want, all[i])
		}
		only := table.Only(some)
		if d := cmp.Diff(want, rowsOf(only)); d != "" {
			t.Error(d)
		}
		for k, i := range some {
			if at, ok := only.Find(table.PID(i)); !ok || at != k || only.ChangedIn(k) != table.ChangedIn(i) || only.UID(k) != table.UID(i) {
				t.Fatalf("process %d is %d there, %v", i, at, ok)
			}
		}
		if _, ok := only.Find(table.PID(0)); ok {
			t.Error("it has a process more")
		}
		if size := only.Size(); size > table.Size()/4 {
			t.Errorf("a seventh takes %d bytes, all take %d", size, table.Size())
		}
	}
	empty := tables[0].Only(nil)
	if empty.Len() != 0 || empty.Shares(tables[0]) || tables[0].Shares(empty) {
		t.Error("no process is not nothing")
	}
	runtime.KeepAlive(tables)
}
