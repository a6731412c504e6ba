package snapshot

import (
	"math/rand/v2"
	"slices"
)

// A history is which states of a node a table knows of.
type history struct {
	generation uint64 // this one; 0 is none
	epoch      uint64 // the first
	oldest     uint64 // the first whose difference to this one is known
	gone       []gone // the pids that went since, by generation
}

// gone is a pid that went in a generation.
type gone struct {
	pid int32
	gen uint32 // less the epoch
}

// Generation names this state of the node; zero where it cannot be asked about.
func (t *Table) Generation() uint64 { return t.generation }

// begin makes t the first state of a node that is known.
func (t *Table) begin(generation uint64) {
	t.history = history{generation: generation, epoch: generation, oldest: generation}
	t.gens = make([]uint32, len(t.refs))
	for _, set := range t.forms {
		for i := range set {
			set[i].since = generation
		}
	}
}

// newGeneration is the first generation of a node's states: two servers, or one
// before and after it started anew, have none in common.
func newGeneration() uint64 { return rand.Uint64()>>2 + 1 }

// follow makes t, whose gens are set, the state after that of base, from which these
// pids are gone.
func (t *Table) follow(base *Table, generation uint64, pids []int32) {
	t.history = base.history
	t.generation = generation
	t.gone = slices.Clip(base.gone)
	for _, pid := range pids {
		t.gone = append(t.gone, gone{pid, uint32(generation - t.epoch)})
	}
	// What is asked about is the last state, or one not long before.
	if most := 64 + len(t.refs)/8; len(t.gone) > 2*most {
		cut := len(t.gone) - most
		t.oldest = t.epoch + uint64(t.gone[cut-1].gen)
		t.gone = slices.Clone(t.gone[cut:])
	}
}

// Since reports whether the difference to that generation is known.
func (t *Table) Since(held uint64) bool {
	return held != 0 && t.generation != 0 && held >= t.oldest && held <= t.generation
}

// Changed reports whether process i is not as it was in that generation, of which Since
// says that it is known.
func (t *Table) Changed(i int, since uint64) bool { return t.epoch+uint64(t.gens[i]) > since }

// ChangedIn is the generation in which process i became what it is; zero where t has none.
func (t *Table) ChangedIn(i int) uint64 {
	if t.generation == 0 {
		return 0
	}
	return t.epoch + uint64(t.gens[i])
}

// goneSince are the pids that went since then and are nobody's now, rising.
func (t *Table) goneSince(held uint64) []int32 {
	var pids []int32
	for _, g := range slices.Backward(t.gone) {
		if t.epoch+uint64(g.gen) <= held {
			break
		}
		if _, again := t.Find(g.pid); !again {
			pids = append(pids, g.pid)
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

// overlay gives t the segments of base and, if it is not empty, fresh as another.
// Where more is held than what t's records need, they are copied into one.
func (t *Table) overlay(base *Table, fresh []byte) {
	t.segments = base.segments
	if len(fresh) > 0 {
		t.segments = append(slices.Clip(base.segments), fresh)
	}
	held := 0
	for _, s := range t.segments {
		held += len(s)
	}
	if len(t.segments) == maxSegments || held > t.live+t.live/8+4096 {
		t.compact()
	}
}

// compact copies the records into one segment.
func (t *Table) compact() {
	one := make([]byte, 0, t.live)
	refs := make([]ref, len(t.refs))
	for i := range t.refs {
		refs[i] = makeRef(0, len(one))
		r := t.record(i)
		one = append(one, r[:recordLen(r, len(t.files))]...)
	}
	t.segments, t.refs = [][]byte{one}, refs
}

// merge puts the records of base that stay among those of t.
func (t *Table) merge(base *Table, gone []int32, gen uint32) {
	changed, pids := t.refs, t.pids
	most := base.Len() + len(changed)
	t.pids, t.refs, t.gens = make([]int32, 0, most), make([]ref, 0, most), make([]uint32, 0, most)
	t.live = base.live
	at := 0
	for i, pid := range base.pids {
		for ; at < len(pids) && pids[at] < pid; at++ {
			t.add(pids[at], changed[at], gen)
		}
		for len(gone) > 0 && gone[0] < pid {
			gone = gone[1:]
		}
		replaced := at < len(pids) && pids[at] == pid
		if replaced || len(gone) > 0 && gone[0] == pid {
			t.live -= recordLen(base.record(i), len(t.files))
			continue
		}
		t.pids, t.refs, t.gens = append(t.pids, pid), append(t.refs, base.refs[i]), append(t.gens, base.gens[i])
	}
	for ; at < len(pids); at++ {
		t.add(pids[at], changed[at], gen)
	}
}

// add adds a record that is new.
func (t *Table) add(pid int32, r ref, gen uint32) {
	t.pids, t.refs, t.gens = append(t.pids, pid), append(t.refs, r), append(t.gens, gen)
	t.live += recordLen(t.record(len(t.refs)-1), len(t.files))
}

// Only is some processes of t, by rising index, in memory of their own: they can be looked up,
// and are as they were in t, but no difference can be made of them.
func (t *Table) Only(rows []int) *Table {
	o := &Table{
		pids: make([]int32, 0, len(rows)), refs: make([]ref, 0, len(rows)), gens: make([]uint32, 0, len(rows)),
		files: t.files, forms: t.forms, names: t.names, facts: t.facts,
		history: history{generation: t.generation, epoch: t.epoch, oldest: t.generation},
	}
	for _, i := range rows {
		o.live += recordLen(t.record(i), len(t.files))
	}
	one := make([]byte, 0, o.live)
	for _, i := range rows {
		o.pids, o.refs, o.gens = append(o.pids, t.pids[i]), append(o.refs, makeRef(0, len(one))), append(o.gens, t.gens[i])
		r := t.record(i)
		one = append(one, r[:recordLen(r, len(t.files))]...)
	}
	o.segments = [][]byte{one}
	return o
}

// Shares reports whether the records that t and o have in common are mostly in the same memory:
// neither has been copied together since they were one table.
func (t *Table) Shares(o *Table) bool {
	return len(t.segments) > 0 && len(o.segments) > 0 && len(t.segments[0]) > 0 && len(o.segments[0]) > 0 &&
		&t.segments[0][0] == &o.segments[0][0]
}
