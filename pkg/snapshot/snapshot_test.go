package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// row is one record in plain form.
type row struct {
	Proc  Proc
	Files []cell
}

type cell struct {
	Content string
	Errno   syscall.Errno
}

var testFacts = Facts{
	BootID: "2b9f4c2e-6c2b-4c0e-9f0e-0a4b6f0e1d2c", BootTime: time.Unix(1700000000, 123456789), Hz: 100,
	PageSize: 4096, PIDMax: 4194304, Release: "6.1.0-13-amd64", Hostname: "n001", Version: "v1",
	HidePID: 2, PIDGID: 26, Keep: time.Second, Age: time.Millisecond,
}

func testRows(n, files int) []row {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	rows := make([]row, n)
	for i := range rows {
		rows[i].Proc = Proc{PID: int32(1 + 3*i), ID: rng.Uint64() | 1, UID: uint32(i), GID: 100, Mode: 0o40555, Nlink: 9, Mtime: int64(i) * 1e9, FileUID: uint32(2 * i), FileGID: 7, OwnerReads: i%3 == 0}
		for k := range files {
			c := cell{Content: strings.Repeat(fmt.Sprintf("%d %d\n", i, k), rng.IntN(50))}
			if rng.IntN(10) == 0 {
				c = cell{Errno: syscall.EACCES}
			}
			rows[i].Files = append(rows[i].Files, c)
		}
	}
	return rows
}

func build(t testing.TB, b *Builder, files []string, rows []row) []byte {
	t.Helper()
	return tableOf(t, b, nil, files, rows).Answer(Request{Files: files}, time.Millisecond)
}

func tableOf(t testing.TB, b *Builder, base *Table, files []string, rows []row) *Table {
	t.Helper()
	b.Reset(base, testFacts, files)
	b.Name(testNames)
	for i, r := range rows {
		late := r.Proc
		late.OwnerReads = late.OwnerReads && i%2 == 0
		b.Begin(late)
		if r.Proc.OwnerReads {
			b.OwnerReads()
		}
		for _, c := range r.Files {
			switch {
			case c.Errno != 0:
				b.Fail(c.Errno)
			case i%2 == 0:
				b.Put(copy(b.Room(len(c.Content)), c.Content))
			default:
				b.Add([]byte(c.Content))
			}
		}
	}
	b.Skip(3, syscall.EFBIG)
	table, err := b.Table()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

var testNames = NewNames([]Name{{"stat", 0o100444}, {"fd", 0o40500}}, []Name{{"comm", 0o100644}})

func rowsOf(t *Table) []row {
	rows := make([]row, t.Len())
	for i := range rows {
		rows[i].Proc = t.Proc(i)
		for k := range t.Files() {
			content, errno := t.File(i, k)
			rows[i].Files = append(rows[i].Files, cell{string(content), errno})
		}
	}
	return rows
}

func TestRoundTrip(t *testing.T) {
	files := []string{"stat", "status", "attr/current"}
	var b Builder
	for _, n := range []int{0, 1, 2, 1000} {
		rows := testRows(n, len(files))
		answer := build(t, &b, files, rows)
		table, err := Decode(nil, answer, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(rows, rowsOf(table)); d != "" {
			t.Errorf("%d rows: %s", n, d)
		}
		want := testFacts
		want.Lacks = syscall.EFBIG // of those that were skipped
		if d := cmp.Diff(want, table.Facts()); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(files, table.Files()); d != "" {
			t.Error(d)
		}
		if table.Names() != testNames {
			t.Error(table.Names().Lists())
		}
		if table.Skipped() != 3 || table.Generation() != 0 {
			t.Errorf("skipped %d, generation %d", table.Skipped(), table.Generation())
		}
	}
}

func TestFind(t *testing.T) {
	files := []string{"stat"}
	rows := testRows(100, 1)
	table, err := Decode(nil, build(t, new(Builder), files, rows), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rows {
		if got, ok := table.Find(r.Proc.PID); !ok || got != i {
			t.Errorf("Find(%d) = %d, %v", r.Proc.PID, got, ok)
		}
		if _, ok := table.Find(r.Proc.PID + 1); ok {
			t.Errorf("Find(%d) found a stranger", r.Proc.PID+1)
		}
	}
	if _, errno := table.File(0, 1); errno != syscall.ENOENT {
		t.Errorf("file out of range: %v", errno)
	}
}

func TestDrop(t *testing.T) {
	rows := testRows(3, 1)
	var b Builder
	b.Reset(nil, testFacts, []string{"stat"})
	for i, r := range rows {
		b.Begin(r.Proc)
		if i == 1 {
			b.Drop()
			continue
		}
		b.Add([]byte("x"))
	}
	table, err := b.Table()
	if err != nil {
		t.Fatal(err)
	}
	if table.Len() != 2 || table.PID(1) != rows[2].Proc.PID {
		t.Errorf("%v", rowsOf(table))
	}
}

func TestBuilderMisuse(t *testing.T) {
	p := func(pid int32) Proc { return Proc{PID: pid, ID: 1} }
	for name, use := range map[string]func(b *Builder){
		"unsorted": func(b *Builder) { b.Begin(p(2)); b.Add(nil); b.Begin(p(1)); b.Add(nil) },
		"twice":    func(b *Builder) { b.Begin(p(2)); b.Add(nil); b.Begin(p(2)); b.Add(nil) },
		"lacking":  func(b *Builder) { b.Begin(p(2)) },
		"too many": func(b *Builder) { b.Begin(p(2)); b.Add(nil); b.Add(nil) },
	} {
		var b Builder
		b.Reset(nil, testFacts, []string{"stat"})
		use(&b)
		if _, err := b.Table(); !errors.Is(err, errMisused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDecodeRefuses damages a good answer in each way that a field can be wrong.
func TestDecodeRefuses(t *testing.T) {
	files := []string{"stat", "cmdline"}
	rows := []row{
		{Proc{PID: 1, ID: 7}, []cell{{Content: "one"}, {Errno: syscall.EACCES}}},
		{Proc{PID: 5, ID: 8}, []cell{{Content: "five"}, {Content: ""}}},
	}
	good := build(t, new(Builder), files, rows)
	le := binary.LittleEndian
	second := len(good) - (recordFixed + 4 + 4 + 4)
	first := second - (recordFixed + 4 + 3 + 4)
	counts := first - 12
	facts := headerFixed + 2 + int(le.Uint16(good[headerFixed:])) // their end
	set := func(off int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { le.PutUint32(b[off:], v); return b }
	}
	for name, damage := range map[string]func([]byte) []byte{
		"magic":             set(0, 0),
		"version":           func(b []byte) []byte { b[4] = 9; return b },
		"flags":             func(b []byte) []byte { b[6] = 0x80; return b },
		"compressed":        func(b []byte) []byte { b[6] = 1; return b },
		"sent huge":         set(8, 1<<31),
		"decoded huge":      set(12, 1<<32-1),
		"lengths differ":    set(12, 1),
		"truncated":         func(b []byte) []byte { return b[:len(b)-1] },
		"header only":       func(b []byte) []byte { return b[:headerFixed] },
		"half a header":     func(b []byte) []byte { return b[:headerFixed/2] },
		"empty":             func([]byte) []byte { return nil },
		"longer":            func(b []byte) []byte { return append(b, 0) },
		"facts too long":    func(b []byte) []byte { le.PutUint16(b[headerFixed:], 60000); return b },
		"no clock ticks":    set(headerFixed+2+8, 0),
		"no page size":      set(headerFixed+2+12, 0),
		"hidepid 3":         set(facts-16, 3),
		"unknown flags":     set(first+flagsAt, 2),
		"records huge":      set(counts+8, 1<<32-1),
		"a record too many": set(counts+8, 3),
		"a record too few":  set(counts+8, 1),
		"gone":              set(counts+4, 1),
		"gone huge":         set(counts+4, 1<<32-1),
		"forms":             func(b []byte) []byte { b[counts-1] = 255; return b },
		"a difference":      set(24, 1),
		"not in a form":     set(first+recordFixed, formedBit|3),
		"pid 0":             set(first, 0),
		"pid negative":      set(second, 1<<31),
		"pid twice":         set(second, 1),
		"pids unsorted":     set(first, 6),
		"content too long":  set(first+recordFixed, 1<<31-1),
		"errno 0":           set(first+recordFixed+7, errnoBit),
		"errno too large":   set(first+recordFixed+7, errnoBit|4096),
	} {
		table, err := Decode(nil, damage(bytes.Clone(good)), Limits{})
		var format *ErrFormat
		var much *ErrTooMuch
		if table != nil || !errors.As(err, &format) && !errors.As(err, &much) {
			t.Errorf("%s: %v, %v", name, table, err)
		}
	}
	var much *ErrTooMuch
	if _, err := Decode(nil, good, Limits{Procs: 1}); !errors.As(err, &much) || much.What != "processes" || much.PIDMax || !errors.Is(err, syscall.EFBIG) {
		t.Errorf("more processes than allowed: %v", err)
	}
	if _, err := Decode(nil, good, Limits{Answer: 100}); !errors.As(err, &much) || much.What != "bytes" {
		t.Errorf("more bytes than allowed: %v", err)
	}
}

// A front end of before may say that an answer may be compressed.
func TestOlderRequest(t *testing.T) {
	want := Request{Files: []string{"stat"}, Remember: true}
	wire := want.Append(nil)
	wire[6] |= 1
	if got, err := DecodeRequest(wire); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("%+v, %v", got, err)
	}
	wire[6] |= 4
	if got, err := DecodeRequest(wire); err == nil {
		t.Errorf("an unknown flag is accepted: %+v", got)
	}
}

func TestRequest(t *testing.T) {
	good := Request{Files: []string{"stat", "attr/current"}, Held: 42, Remember: true, MaxAge: time.Second}
	wire := good.Append(nil)
	got, err := DecodeRequest(wire)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(good, got); d != "" {
		t.Error(d)
	}
	for i := range wire {
		if _, err := DecodeRequest(wire[:i]); err == nil {
			t.Errorf("first %d bytes accepted", i)
		}
	}
	if _, err := DecodeRequest(append(bytes.Clone(wire), 0)); err == nil {
		t.Error("a byte too many accepted")
	}
	for _, files := range [][]string{nil, {""}, {"stat", "stat"}, {"../x"}, {"/stat"}, {"a//b"}, {"."}, {"a\x00b"}, make([]string, MaxFiles+1)} {
		r := Request{Files: files}
		if r.Check() == nil {
			t.Errorf("%q is a good request", files)
		}
		if _, err := DecodeRequest(r.Append(nil)); err == nil {
			t.Errorf("%q accepted", files)
		}
	}
}
