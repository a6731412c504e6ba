package gpid

import (
	"testing"
	"time"
)

// A name that is no gpid, or no pid, as the kernel writes it is not taken for one.
func TestParse(t *testing.T) {
	for name, want := range map[string]struct{ gpid, pid bool }{
		"1": {true, true}, "4194304": {true, true}, "4194305": {true, false}, "2147483647": {true, false},
		"2147483648": {}, "10000000000000000000000": {}, "": {}, "0": {}, "-1": {}, "+1": {}, "007": {}, "1a": {}, "1_000": {}, " 1": {}, "self": {},
	} {
		if g, ok := Parse(name); ok != want.gpid || ok && g.String() != name {
			t.Errorf("%q as a gpid: %d, %v", name, g, ok)
		}
		if pid, ok := ParsePID(name); ok != want.pid || ok && GPID(pid).String() != name {
			t.Errorf("%q as a pid: %d, %v", name, pid, ok)
		}
	}
	for text, want := range map[string]ID{
		"120003456": {GPID: 120003456}, "n12:3456": {Node: "n12", PID: 3456},
		"n12:4194305": {}, ":1": {}, "n12:": {}, "n12": {}, "": {},
	} {
		if id, err := ParseID(text); id != want || (err == nil) != (want != ID{}) {
			t.Errorf("%q names %v, %v", text, id, err)
		}
	}
}

// Fixed gpids lead back to their processes, and there are none where no kernel gives out
// such a pid or the index has no room.
func TestFixed(t *testing.T) {
	var n Numbering
	for _, index := range []int{0, 1, 12, maxFixedIndex} {
		for _, pid := range []PID{1, 3456, MaxPID} {
			g := n.GPID(index, pid)
			if want := GPID(index*Stride) + GPID(pid); g != want {
				t.Errorf("%d of node %d has %d, want %d", pid, index, g, want)
			}
			if i, p, ok := n.Split(g); !ok || i != index || p != pid {
				t.Errorf("%d leads to %d of node %d, %v", g, p, i, ok)
			}
		}
	}
	for _, k := range []key{{0, 0}, {1, -1}, {1, MaxPID + 1}, {-1, 1}, {maxFixedIndex + 1, 1}} {
		if g := n.GPID(k.index, k.pid); g != 0 {
			t.Errorf("%v has %d", k, g)
		}
	}
	for _, g := range []GPID{-1, 0, MaxPID + 1, Stride, Stride + MaxPID + 1, (maxFixedIndex+1)*Stride + 1} {
		if index, pid, ok := n.Split(g); ok {
			t.Errorf("%d leads to %d of node %d", g, pid, index)
		}
	}
}

// PIDMax is above all gpids, and of few values.
func TestPIDMax(t *testing.T) {
	for index, want := range map[int]GPID{0: 10_000_000, 1: 20_000_000, 2: 40_000_000, 3: 40_000_000, 4: 80_000_000, 127: 1_280_000_000, 128: Max, maxFixedIndex: Max} {
		n := Numbering{indexes: map[NodeName]int{"first": 1, "last": index}}
		if index == 0 {
			n.indexes = nil
		}
		if got := n.PIDMax(); got != want || got <= n.GPID(index, MaxPID) {
			t.Errorf("with index %d it is %d, want %d", index, got, want)
		}
	}
	n := Numbering{pages: newPages(allPages, time.Now), indexes: map[NodeName]int{"n1": 1, "n5000": 5000}}
	for index := range 5001 {
		before := n.PIDMax()
		for pid := PID(1); pid < 100*pageSize && index > 0; pid += pageSize {
			if g, most := n.GPID(index, pid), n.PIDMax(); g >= most || most < before {
				t.Fatalf("%d is dealt, pid_max is %d, and was %d", g, most, before)
			}
		}
	}
	if got := n.PIDMax(); got != 80_000_000 { // 500,000 pages
		t.Errorf("it is %d", got)
	}
}

// A head node alone needs no file, and with either numbering its gpids are its pids.
func TestHeadAlone(t *testing.T) {
	n, err := Open("/dev/null/none", Paged, nil)
	if err != nil {
		t.Fatal(err)
	}
	if g := n.GPID(0, 7); g != 7 || n.Mode() != Fixed {
		t.Errorf("7 has %d, %s", g, n.Mode())
	}
	n = &Numbering{pages: newPages(3, nil)}
	if g := n.GPID(0, 7); g != 7 {
		t.Errorf("7 has %d with pages", g)
	}
	if index, pid, ok := n.Split(7); !ok || index != 0 || pid != 7 {
		t.Errorf("7 leads to %d of node %d, %v", pid, index, ok)
	}
}
