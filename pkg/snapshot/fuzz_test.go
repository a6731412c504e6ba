package snapshot

import (
	"bytes"
	"strings"
	"testing"
)

func FuzzDecode(f *testing.F) {
	files := []string{"stat", "cmdline"}
	f.Add(build(f, new(Builder), files, testRows(3, 2), false))
	large := []row{{Proc{PID: 1, ID: 7}, []cell{{Content: strings.Repeat("\x00", CompressFrom)}, {Content: "x"}}}}
	f.Add(build(f, new(Builder), files, large, true))
	f.Add([]byte(answerMagic))
	f.Fuzz(func(t *testing.T, answer []byte) {
		table, err := Decode(answer, Limits{Answer: 1 << 20, Procs: 1000})
		if err != nil {
			return
		}
		// What was accepted can be read all over, and built again to the same.
		rows := rowsOf(table)
		var b Builder
		b.Reset(table.Facts(), table.Files())
		for i, r := range rows {
			if j, ok := table.Find(r.Proc.PID); !ok || j != i {
				t.Fatalf("Find(%d) = %d, %v", r.Proc.PID, j, ok)
			}
			b.Begin(r.Proc)
			for k := range r.Files {
				if content, errno := table.File(i, k); errno != 0 {
					b.Fail(errno)
				} else {
					b.Add(content)
				}
			}
		}
		again, err := b.Finish(false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(again, Limits{}); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzDecodeRequest(f *testing.F) {
	f.Add(Request{Files: []string{"stat", "status"}, Compress: true}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRequest(b)
		if err == nil && !bytes.Equal(r.Append(nil), b) {
			t.Fatalf("%+v does not encode to %q", r, b)
		}
	})
}
