package snapshot

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// A decoder checks a body from end to end, so that Table need not.
type decoder struct {
	reader
	limits     Limits
	known      *Figures // that are held
	hasFigures bool
	t          Table
}

// whole makes the table of a body that is the whole.
func (d *decoder) whole(generation uint64) (*Table, error) {
	t := &d.t
	t.facts = d.facts()
	d.ownFigures()
	n := d.u16()
	if n == 0 || n > MaxFiles {
		d.fail("%d files, must be 1 to %d", n, MaxFiles)
	}
	for i := 0; i < n && d.err == nil; i++ {
		name := d.str()
		if !validFile(name) || slices.Contains(t.files, name) {
			d.fail("bad or repeated file name %q", name)
		}
		t.files = append(t.files, name)
	}
	t.names = d.names()
	t.forms = make([]formSet, n)
	d.newForms(generation)
	if gone := d.counted(); len(gone) > 0 {
		d.fail("%d processes gone from nothing", len(gone))
	}
	d.records(0)
	if d.err != nil {
		return nil, d.err
	}
	t.segments = [][]byte{d.b}
	t.begin(generation)
	return t, nil
}

// difference makes the table of a body that is the difference to base.
func (d *decoder) difference(base *Table, generation uint64) (*Table, error) {
	t := &d.t
	t.facts, t.files, t.names = d.facts(), base.files, base.names
	d.ownFigures()
	t.forms = slices.Clone(base.forms)
	d.newForms(generation)
	gone := d.counted()
	d.records(len(base.segments))
	if d.err != nil {
		return nil, d.err
	}
	if generation-base.epoch > 1<<32-1 {
		d.fail("generation %d after %d", generation, base.epoch)
		return nil, d.err
	}
	if len(base.segments)+1 > maxSegments { // one that came of another format
		d.fail("%d segments", len(base.segments))
		return nil, d.err
	}
	fresh := d.b
	changed := len(t.refs)
	t.segments = append(slices.Clip(base.segments), fresh)
	t.merge(base, gone, uint32(generation-base.epoch))
	if d.bounded("processes", t.Len(), d.limits.Procs); t.live >= d.limits.Answer {
		d.bounded("bytes", t.live, d.limits.Answer-1)
	}
	if d.err != nil {
		return nil, d.err
	}
	t.follow(base, generation, gone)
	if changed == 0 {
		fresh = nil
	}
	t.overlay(base, fresh)
	return t, nil
}

// ownFigures reads the node's figures, if the answer has them.
func (d *decoder) ownFigures() {
	if !d.hasFigures {
		return
	}
	sub := &reader{what: d.what, b: d.take(int(d.u32()))}
	if d.t.figures = readFigures(sub, d.known); sub.err == nil && sub.off != len(sub.b) {
		sub.fail("%d bytes too many", len(sub.b)-sub.off)
	}
	if sub.err != nil {
		d.fail("figures: %v", sub.err)
	}
}

// bounded fails if there is too much of something. Of processes a node has no more than
// its pid_max.
func (d *decoder) bounded(what string, have, most int) {
	own := what == "processes" && d.t.facts.PIDMax < most
	if own {
		most = d.t.facts.PIDMax
	}
	if d.err == nil && have > most {
		d.err = &ErrTooMuch{What: what, Have: have, Most: most, PIDMax: own}
	}
}

// newForms reads the forms that are added.
func (d *decoder) newForms(generation uint64) {
	for k := range d.t.forms {
		for range d.u8() {
			f, ok := newForm(bytes.Clone(d.take(d.u16())))
			if !ok || len(d.t.forms[k]) >= maxForms {
				d.fail("bad form, or one too many")
				return
			}
			f.since = generation
			d.t.forms[k] = append(slices.Clip(d.t.forms[k]), f)
		}
	}
}

// counted reads the counts before the records: what is left to be read by records is
// in d.t.refs' capacity.
func (d *decoder) counted() (gone []int32) {
	d.t.skipped = int(min(d.u32(), maxPID))
	n, records := d.u32(), d.u32()
	smallest := recordFixed + 4*len(d.t.files)
	left := int64(len(d.b) - d.off)
	d.bounded("processes", int(records), d.limits.Procs)
	d.bounded("processes", int(n), d.limits.Procs) // gone, of those that were told of
	if d.err == nil && 4*int64(n)+int64(records)*int64(smallest) > left {
		d.fail("%d gone and %d records in %d bytes", n, records, left)
	}
	if d.err != nil {
		return nil
	}
	last := uint32(0)
	for range n {
		pid := d.u32()
		if pid <= last || pid > maxPID {
			d.fail("pid %d gone after pid %d", pid, last)
			return nil
		}
		last = pid
		gone = append(gone, int32(pid))
	}
	d.t.pids, d.t.refs = make([]int32, records), make([]ref, records)
	return gone
}

// records passes over the records, and notes where in the segment each of them is.
func (d *decoder) records(segment int) {
	last := uint32(0)
	for i := range d.t.refs {
		start := d.off
		d.t.refs[i] = makeRef(segment, start)
		if last = d.record(last); d.err != nil {
			return
		}
		d.t.pids[i] = int32(last)
		d.t.live += d.off - start
	}
	if d.off != len(d.b) {
		d.fail("%d bytes too many", len(d.b)-d.off)
	}
}

// record passes over one record, whose pid must be above last, and returns the pid.
func (d *decoder) record(last uint32) uint32 {
	fixed := d.take(recordFixed)
	if fixed == nil {
		return 0
	}
	pid := binary.LittleEndian.Uint32(fixed)
	if pid <= last || pid > maxPID {
		d.fail("pid %d after pid %d", pid, last)
	}
	if flags := binary.LittleEndian.Uint32(fixed[flagsAt:]); flags&^flagOwnerReads != 0 {
		d.fail("pid %d: unknown flags %#x", pid, flags)
	}
	for k := range d.t.files {
		word := d.u32()
		if word&errnoBit != 0 {
			if e := word &^ errnoBit; e == 0 || e > maxErrno {
				d.fail("pid %d: errno %d", pid, e)
			}
			continue
		}
		content := d.take(int(word & lengthMask))
		if word&formedBit == 0 || d.err != nil {
			continue
		}
		if len(content) == 0 || int(content[0]) >= len(d.t.forms[k]) {
			d.fail("pid %d: no such form of %s", pid, d.t.files[k])
		} else if f, rest := d.t.forms[k].of(content); !f.fits(rest) {
			d.fail("pid %d: %s does not fit its form", pid, d.t.files[k])
		}
	}
	return pid
}
