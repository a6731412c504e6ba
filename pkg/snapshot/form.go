package snapshot

import (
	"bytes"
	"slices"
)

const (
	maxForms = 8    // of a file
	maxForm  = 8192 // bytes of one
)

// A form is the lines that many files have in common.
type form struct {
	text  []byte
	lines []uint16 // where each line starts, and the end of the text
	since uint64   // the generation that brought it
}

// newForm makes a form of a file; not ok if it is no short text of lines.
func newForm(text []byte) (f form, ok bool) {
	if len(text) == 0 || len(text) > maxForm || text[len(text)-1] != '\n' {
		return f, false
	}
	f.lines = append(make([]uint16, 0, 1+bytes.Count(text, newline)), 0)
	for at := 0; at < len(text); {
		at += bytes.IndexByte(text[at:], '\n') + 1
		f.lines = append(f.lines, uint16(at))
	}
	f.text = text
	return f, true
}

var newline = []byte("\n")

// count is the number of lines.
func (f *form) count() int { return len(f.lines) - 1 }

func (f *form) line(i int) []byte { return f.text[f.lines[i]:f.lines[i+1]] }

// bits is the number of bytes that say which lines differ.
func (f *form) bits() int { return (f.count() + 7) / 8 }

// pack appends what of text differs from the form; not ok if it has not as many
// lines, or one differs in too much. dst is the same up to its length either way.
func (f *form) pack(dst, text []byte) (packed []byte, ok bool) {
	bits := len(dst)
	dst = slices.Grow(dst, f.bits())[:bits+f.bits()]
	clear(dst[bits:])
	for i := range f.count() {
		n := bytes.IndexByte(text, '\n') + 1
		if n == 0 {
			return dst[:bits], false
		}
		line := text[:n]
		text = text[n:]
		old := f.line(i)
		if string(line) == string(old) {
			continue
		}
		most := min(len(line), len(old))
		head, tail := 0, 0
		for head < min(most, 255) && line[head] == old[head] {
			head++
		}
		for tail < min(most-head, 255) && line[len(line)-1-tail] == old[len(old)-1-tail] {
			tail++
		}
		middle := line[head : len(line)-tail]
		if len(middle) > 255 {
			return dst[:bits], false
		}
		dst[bits+i/8] |= 1 << (i % 8)
		dst = append(append(dst, byte(head), byte(tail), byte(len(middle))), middle...)
	}
	if len(text) > 0 {
		return dst[:bits], false
	}
	return dst, true
}

// unpack appends the text that pack made packed of. What it says must be true, as
// fits tells.
func (f *form) unpack(dst, packed []byte) []byte {
	bits, packed := packed[:f.bits()], packed[f.bits():]
	same := 0 // first line that was not passed on yet
	for i := range f.count() {
		if bits[i/8]&(1<<(i%8)) == 0 {
			continue
		}
		line := f.line(i)
		head, tail, middle := int(packed[0]), int(packed[1]), int(packed[2])
		dst = append(dst, f.text[f.lines[same]:int(f.lines[i])+head]...)
		dst = append(dst, packed[3:3+middle]...)
		dst = append(dst, line[len(line)-tail:]...)
		packed, same = packed[3+middle:], i+1
	}
	return append(dst, f.text[f.lines[same]:]...)
}

// fits reports whether packed can be unpacked.
func (f *form) fits(packed []byte) bool {
	if len(packed) < f.bits() {
		return false
	}
	bits, packed := packed[:f.bits()], packed[f.bits():]
	for i := range 8 * len(bits) {
		if bits[i/8]&(1<<(i%8)) == 0 {
			continue
		}
		if i >= f.count() || len(packed) < 3 || int(packed[0])+int(packed[1]) > len(f.line(i)) || len(packed) < 3+int(packed[2]) {
			return false
		}
		packed = packed[3+int(packed[2]):]
	}
	return len(packed) == 0
}

// size is how long the text is that packed unpacks to.
func (f *form) size(packed []byte) int {
	bits, packed := packed[:f.bits()], packed[f.bits():]
	n := len(f.text)
	for i := range f.count() {
		if bits[i/8]&(1<<(i%8)) != 0 {
			head, tail, middle := int(packed[0]), int(packed[1]), int(packed[2])
			n += head + middle + tail - len(f.line(i))
			packed = packed[3+middle:]
		}
	}
	return n
}

// A formSet is the forms of one file. It only ever grows.
type formSet []form

// pack appends text as what differs from one of the forms, which it names in the
// first byte.
func (s formSet) pack(dst, text []byte, lines int) (packed []byte, ok bool) {
	for i := range s {
		if s[i].count() == lines {
			start := len(dst)
			if packed, ok = s[i].pack(append(dst, byte(i)), text); ok && len(packed)-start < len(text) {
				return packed, true
			}
			return packed[:start], false
		}
	}
	return dst, false
}

// of is the form that packed differs from, and the rest of it.
func (s formSet) of(packed []byte) (f *form, rest []byte) { return &s[packed[0]], packed[1:] }
