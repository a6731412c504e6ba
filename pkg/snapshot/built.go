package snapshot

import (
	"bytes"
	"slices"
	"syscall"
)

// Table is the table that was built. It shares nothing with the builder.
func (b *Builder) Table() (*Table, error) {
	b.end()
	if b.err != nil {
		return nil, b.err
	}
	if b.live >= maxAnswer {
		return nil, syscall.EFBIG
	}
	facts := b.facts
	facts.Lacks = b.why
	t := &Table{
		pids: slices.Clone(b.pids), refs: slices.Clone(b.refs), gens: slices.Clone(b.gens), live: b.live, sums: slices.Clone(b.sums),
		files: b.files, forms: b.forms, names: b.names, facts: facts, skipped: b.skipped,
	}
	if b.base == nil {
		t.segments = [][]byte{bytes.Clone(b.buf)}
		t.begin(newGeneration())
		return t, nil
	}
	b.skipTo(maxPID)
	b.follow(t)
	return t, nil
}

// follow makes t the state after base.
func (b *Builder) follow(t *Table) {
	base, generation := b.base, b.base.generation
	if b.changed || len(b.gone) > 0 {
		generation++
	}
	segment := len(base.segments)
	old := 0
	for i, fresh := range t.gens {
		if fresh == 1 {
			t.refs[i] = makeRef(segment, int(t.refs[i]))
			t.gens[i] = uint32(generation - base.epoch)
			continue
		}
		for base.refs[old] != t.refs[i] {
			old++
		}
		t.gens[i] = base.gens[old]
	}
	for k := range t.forms {
		for j := range t.forms[k] {
			if f := &t.forms[k][j]; f.since == 0 {
				f.since = generation
			}
		}
	}
	t.follow(base, generation, b.gone)
	t.overlay(base, bytes.Clone(b.buf))
}
