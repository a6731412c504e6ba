package snapshot

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzDecode decodes an answer, and a second one that may be the difference to it.
func FuzzDecode(f *testing.F) {
	files := []string{"stat", "status"}
	plain := build(f, new(Builder), files, testRows(3, 2))
	large := []row{{Proc{PID: 1, ID: 7}, []cell{{Content: strings.Repeat("\x00", 64<<10)}, {Content: "x"}}}}
	f.Add(plain, plain)
	f.Add(build(f, new(Builder), files, large), plain)
	f.Add([]byte(answerMagic), []byte(answerMagic))
	m := newModel(1, files)
	var b Builder
	one := m.table(f, &b, nil)
	m.change(30)
	two := m.table(f, &b, one)
	f.Add(one.Answer(Request{Remember: true}, 0), two.Answer(Request{Remember: true, Held: one.Generation()}, 0))
	limits := Limits{Answer: 1 << 20, Procs: 1000}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		base, err := Decode(nil, first, limits)
		if err != nil {
			return
		}
		checkTable(t, base)
		if table, err := Decode(base, second, limits); err == nil {
			checkTable(t, table)
		}
	})
}

// checkTable reads a table all over, and passes it on.
func checkTable(t *testing.T, table *Table) {
	rows := rowsOf(table)
	for i, r := range rows {
		if j, ok := table.Find(r.Proc.PID); !ok || j != i {
			t.Fatalf("Find(%d) = %d, %v", r.Proc.PID, j, ok)
		}
	}
	again, err := Decode(nil, table.Answer(Request{Remember: true}, table.Facts().Age), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(rows, rowsOf(again)); d != "" {
		t.Fatal(d)
	}
	var b Builder
	b.Reset(nil, table.Facts(), table.Files())
	for _, r := range rows {
		b.Begin(r.Proc)
		for _, c := range r.Files {
			if c.Errno != 0 {
				b.Fail(c.Errno)
			} else {
				b.Add([]byte(c.Content))
			}
		}
	}
	if _, err := b.Table(); err != nil {
		t.Fatal(err)
	}
}

func FuzzDecodeRequest(f *testing.F) {
	f.Add(Request{Files: []string{"stat", "status"}}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRequest(b)
		if err == nil {
			b[6] &^= flagCompress
		}
		if err == nil && !bytes.Equal(r.Append(nil), b) {
			t.Fatalf("%+v does not encode to %q", r, b)
		}
	})
}
