package snapshot

import "slices"

// Part returns a builder for the processes from that pid on, which can be used
// concurrently with b, and with other parts: then [Builder.Join] makes what it has part
// of b's table. It adds no forms; so b should have seen some processes before.
func (b *Builder) Part(from int32) *Builder {
	p := builders.Get().(*Builder)
	p.Reset(b.base, b.facts, b.files)
	copy(p.forms, b.forms)
	p.frozen, p.from = true, from
	if b.base != nil {
		p.at, _ = slices.BinarySearch(b.base.pids, from)
	}
	return p
}

// Join takes over what is in p, a part whose pids are above all that b has. p must not
// be used any more.
func (b *Builder) Join(p *Builder) {
	b.end()
	p.end()
	if p.from <= b.lastPID {
		b.misused("a part from pid %d on after pid %d", p.from, b.lastPID)
		return
	}
	if b.base != nil {
		b.skipTo(p.from)
		b.at = p.at
	}
	shift := ref(len(b.buf))
	for i, r := range p.refs {
		if p.gens[i] == 1 {
			r += shift
		}
		b.refs = append(b.refs, r)
	}
	b.pids, b.gens, b.sums = append(b.pids, p.pids...), append(b.gens, p.gens...), append(b.sums, p.sums...)
	b.gone, b.buf = append(b.gone, p.gone...), append(b.buf, p.buf...)
	b.live, b.skipped, b.changed = b.live+p.live, b.skipped+p.skipped, b.changed || p.changed
	b.lastPID = max(b.lastPID, p.lastPID)
	b.Lack(p.why)
	if b.err == nil {
		b.err = p.err
	}
	release(p)
}

// release lets a builder that nobody uses any more be used again.
func release(b *Builder) {
	if b.Cap() <= maxSpare {
		b.Reset(nil, Facts{}, nil) // it holds no table any more
		builders.Put(b)
	}
}
