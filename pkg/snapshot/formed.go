package snapshot

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"slices"
)

// sumSeed makes sums that nobody outside can aim at.
var sumSeed = maphash.MakeSeed()

// formed makes content the next file as it differs from a form, if there is one, or
// it can be one. Where it is what it was in the record before, as its sum tells, that is
// taken as it is held.
func (b *Builder) formed(content []byte) bool {
	k := b.file()
	if !b.hasForms[k] {
		return false
	}
	sum := maphash.Bytes(sumSeed, content) | 1
	if b.oldSum() == sum && b.old != nil {
		word := binary.LittleEndian.Uint32(b.old[b.oldAt:])
		b.oldAt += 4 + int(word&lengthMask)
		b.sums = append(b.sums, sum)
		return true
	}
	b.sums = append(b.sums, sum)
	set := b.forms[k]
	lines := bytes.Count(content, newline)
	packed, ok := set.pack(b.packed[:0], content, lines)
	if !ok && !b.frozen && len(set) < maxForms && !slices.ContainsFunc(set, func(f form) bool { return f.count() == lines }) {
		if f, good := newForm(bytes.Clone(content)); good {
			b.forms[k] = append(slices.Clip(set), f)
			packed, ok = b.forms[k].pack(packed[:0], content, lines)
		}
	}
	if b.packed = packed; !ok {
		return false
	}
	b.add(formedBit|uint32(len(packed)), packed)
	return true
}

// oldSum is the sum that base has of the next file that has a form, of the process
// whose record is begun; 0 is none.
func (b *Builder) oldSum() uint64 {
	if b.base == nil || b.at >= b.base.Len() || b.base.PID(b.at) != b.lastPID {
		return 0
	}
	if i := b.at*b.each + len(b.sums) - b.firstSum; i < len(b.base.sums) {
		return b.base.sums[i]
	}
	return 0
}
