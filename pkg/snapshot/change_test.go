package snapshot

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A model is a node with processes that come, change and go.
type model struct {
	rng   *rand.Rand
	files []string
	rows  []row
}

func newModel(seed uint64, files []string) *model {
	m := &model{rng: rand.New(rand.NewPCG(seed, 0)), files: files}
	for range 50 {
		m.change(1)
	}
	return m
}

// content is a file as a process may have it.
func (m *model) content(name string) cell {
	switch {
	case m.rng.IntN(20) == 0:
		return cell{Errno: syscall.ESRCH}
	case name != "status":
		return cell{Content: strings.Repeat("x", m.rng.IntN(30))}
	case m.rng.IntN(3) == 0:
		return cell{Content: fmt.Sprintf("Name:\tkthread%d\nState:\tS\nUid:\t0\n", m.rng.IntN(5))}
	}
	return cell{Content: fmt.Sprintf("Name:\tprog%d\nState:\tS\nUid:\t%d\nVmRSS:\t%8d kB\nThreads:\t%d\n", m.rng.IntN(5), m.rng.IntN(3), m.rng.IntN(1e6), m.rng.IntN(100))}
}

// change makes n changes.
func (m *model) change(n int) {
	for range n {
		switch k := m.rng.IntN(10); {
		case k < 3 || len(m.rows) == 0:
			pid := int32(1 + m.rng.IntN(200))
			i, found := slices.BinarySearchFunc(m.rows, pid, func(r row, pid int32) int { return int(r.Proc.PID - pid) })
			if found {
				continue
			}
			r := row{Proc: Proc{PID: pid, ID: m.rng.Uint64(), UID: uint32(m.rng.IntN(3)), Mode: 0o40555}}
			for _, name := range m.files {
				r.Files = append(r.Files, m.content(name))
			}
			m.rows = slices.Insert(m.rows, i, r)
		case k < 5:
			i := m.rng.IntN(len(m.rows))
			m.rows = slices.Delete(m.rows, i, i+1)
		default:
			r := &m.rows[m.rng.IntN(len(m.rows))]
			r.Files = slices.Clone(r.Files)
			k := m.rng.IntN(len(m.files))
			r.Files[k] = m.content(m.files[k])
		}
	}
}

func (m *model) table(t testing.TB, b *Builder, base *Table) *Table {
	return tableOf(t, b, base, m.files, m.rows)
}

// inParts is table by a builder and some parts of it at once.
func (m *model) inParts(t testing.TB, b *Builder, base *Table) *Table {
	t.Helper()
	b.Reset(base, testFacts, m.files)
	b.Name(testNames)
	add := func(b *Builder, rows []row) {
		for _, r := range rows {
			b.Begin(r.Proc)
			for _, c := range r.Files {
				if c.Errno != 0 {
					b.Fail(c.Errno)
				} else {
					b.Put(copy(b.Room(len(c.Content)), c.Content))
				}
			}
		}
	}
	cuts := []int{0, 0, 0, len(m.rows)}
	for i := range 3 {
		cuts[i] = m.rng.IntN(len(m.rows) + 1)
	}
	slices.Sort(cuts)
	add(b, m.rows[:cuts[0]])
	var parts []*Builder
	var all sync.WaitGroup
	for i, cut := range cuts[:3] {
		rows := m.rows[cut:cuts[i+1]]
		if len(rows) == 0 {
			continue
		}
		p := b.Part(rows[0].Proc.PID)
		parts = append(parts, p)
		all.Go(func() { add(p, rows) })
	}
	all.Wait()
	for _, p := range parts {
		b.Join(p)
	}
	b.Skip(3, syscall.EFBIG)
	table, err := b.Table()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// TestDifferences has a leaf, an aggregator and two front ends follow a node that
// changes, each asking when it likes: all end up with what the node has.
func TestDifferences(t *testing.T) {
	files := []string{"stat", "status", "cmdline"}
	for seed := range uint64(6) {
		m := newModel(seed, files)
		var b Builder
		var leaf, middle *Table
		ends := make([]*Table, 2)
		ask := func(from, held *Table) *Table {
			req := Request{Files: files, Remember: true}
			if held != nil {
				req.Held = held.Generation()
			}
			got, err := Decode(held, from.Answer(req, 0), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		differences := 0
		for range 200 {
			m.change(m.rng.IntN(4))
			before := leaf
			leaf = m.inParts(t, &b, leaf)
			if d := cmp.Diff(m.rows, rowsOf(leaf)); d != "" {
				t.Fatal(d)
			}
			if before != nil && leaf.Generation() == before.Generation() != (cmp.Diff(rowsOf(before), rowsOf(leaf)) == "") {
				t.Fatal("the generation is not what tells states apart")
			}
			if m.rng.IntN(40) == 0 {
				leaf = m.table(t, &b, nil) // it was started anew
			}
			if m.rng.IntN(2) == 0 {
				middle = ask(leaf, middle)
				if d := cmp.Diff(m.rows, rowsOf(middle)); d != "" {
					t.Fatal(d)
				}
			}
			for i := range ends {
				if middle == nil || m.rng.IntN(2+5*i) != 0 {
					continue
				}
				if ends[i] != nil && middle.Since(ends[i].Generation()) {
					differences++
				}
				ends[i] = ask(middle, ends[i])
				if d := cmp.Diff(rowsOf(middle), rowsOf(ends[i])); d != "" {
					t.Fatal(d)
				}
				if d := cmp.Diff(middle.Names(), ends[i].Names(), cmp.Comparer(func(a, b Names) bool { return a == b })); d != "" {
					t.Fatal(d)
				}
			}
			if held := len(leaf.segments); held >= maxSegments || leaf.Size() > 3*leaf.live+30000 {
				t.Fatalf("%d segments, %d bytes for %d", held, leaf.Size(), leaf.live)
			}
		}
		if differences < 50 {
			t.Errorf("only %d differences were sent", differences)
		}
		if len(middle.gone) > 2*(64+200/8) {
			t.Errorf("%d pids are remembered", len(middle.gone))
		}
	}
}

// TestForms holds the forms against the status files of this machine.
func TestForms(t *testing.T) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var set formSet
	raw, kept := 0, 0
	for _, d := range dirs {
		text, err := os.ReadFile("/proc/" + d.Name() + "/status")
		if err != nil {
			continue
		}
		lines := bytes.Count(text, newline)
		packed, ok := set.pack(nil, text, lines)
		if !ok {
			f, good := newForm(text)
			if !good {
				t.Fatalf("no form: %q", text)
			}
			set = append(set, f)
			packed, ok = set.pack(nil, text, lines)
		}
		f, rest := set.of(packed)
		if !ok || !f.fits(rest) {
			t.Fatalf("%s does not fit: %q", d.Name(), text)
		}
		if got := f.unpack(nil, rest); !bytes.Equal(got, text) || f.size(rest) != len(text) {
			t.Fatalf("%q, want %q", got, text)
		}
		raw, kept = raw+len(text), kept+len(packed)
	}
	t.Logf("%d forms; %d bytes are kept as %d", len(set), raw, kept)
	if len(set) > maxForms || kept > raw/2 {
		t.Error("forms do not pay")
	}
}

// FuzzForm unpacks what a stranger may send.
func FuzzForm(f *testing.F) {
	f.Add([]byte("a: 1\nb: 2\n"), []byte("\x02\x03\x01\x015"), []byte("a: 1\nb: 25\n"))
	f.Fuzz(func(t *testing.T, text, packed, other []byte) {
		form, ok := newForm(text)
		if !ok {
			return
		}
		if form.fits(packed) {
			if got := form.unpack(nil, packed); len(got) != form.size(packed) {
				t.Fatalf("%q of %d bytes, said to be %d", got, len(got), form.size(packed))
			}
		}
		if p, ok := form.pack(nil, other); ok && (!form.fits(p) || !bytes.Equal(form.unpack(nil, p), other)) {
			t.Fatalf("%q does not come out of %q", other, p)
		}
	})
}

func BenchmarkForm(b *testing.B) {
	one, err := os.ReadFile("/proc/1/status")
	if err != nil {
		b.Fatal(err)
	}
	two, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	f, _ := newForm(one)
	packed, ok := f.pack(nil, two)
	if !ok {
		b.Fatal("it does not fit")
	}
	b.Run("pack", func(b *testing.B) {
		b.SetBytes(int64(len(two)))
		for b.Loop() {
			packed, _ = f.pack(packed[:0], two)
		}
	})
	b.Run("unpack", func(b *testing.B) {
		b.SetBytes(int64(len(two)))
		var out []byte
		for b.Loop() {
			out = f.unpack(out[:0], packed)
		}
	})
	b.Run("fits", func(b *testing.B) {
		for b.Loop() {
			f.fits(packed)
		}
	})
}
