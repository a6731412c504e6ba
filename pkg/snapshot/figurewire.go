package snapshot

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// AnswerFigures is the answer to a request of no files, and AppendFigures below the same as a part
// of another answer: f as the difference to held, or whole where held is nil.
func AnswerFigures(f, held *Figures) []byte {
	b := f.append(newAnswer(headerFixed+1024), held)
	putHeader(b, 0, 0)
	binary.LittleEndian.PutUint16(b[6:], flagFigures)
	return b
}

// append appends f in wire form.
func (f *Figures) append(b []byte, held *Figures) []byte {
	var base uint64
	if held != nil {
		base = held.number
	}
	b = binary.LittleEndian.AppendUint64(b, f.number)
	b = binary.LittleEndian.AppendUint64(b, base)
	b = append(b, byte(len(f.groups)))
	for i := range f.groups {
		g := &f.groups[i]
		if old := held.Group(g.Name); old != nil && slices.Equal(old.Fields, g.Fields) && slices.Equal(old.Rows, g.Rows) {
			b = appendStr(append(b, 1), g.Name)
			b = appendChanged(b, g.Values, old.Values)
			continue
		}
		b = appendStr(append(b, 0), g.Name)
		b = append(b, byte(len(g.Fields)))
		for _, name := range g.Fields {
			b = appendStr(b, name)
		}
		b = binary.LittleEndian.AppendUint16(b, uint16(len(g.Rows)))
		for _, name := range g.Rows {
			b = appendStr(b, name)
		}
		for _, v := range g.Values {
			b = binary.AppendVarint(b, v)
		}
	}
	return b
}

// appendChanged appends which values have changed, and by how much.
func appendChanged(b []byte, now, before []int64) []byte {
	bits := len(b)
	b = append(b, make([]byte, (len(now)+7)/8)...)
	for k, v := range now {
		if v != before[k] {
			b[bits+k/8] |= 1 << (k % 8)
			b = binary.AppendVarint(b, v-before[k])
		}
	}
	return b
}

// readFigures reads what append wrote, to which held was the base. What did not change is shared
// with it.
func readFigures(r *reader, held *Figures) *Figures {
	f := &Figures{number: r.u64()}
	switch base := r.u64(); {
	case base == 0:
		held = nil
	case held == nil || held.number != base:
		r.fail("the difference to figures %d, which are not held", base)
	}
	n := r.u8()
	if n > MaxGroups {
		r.fail("%d groups of figures", n)
	}
	for i := 0; i < n && r.err == nil; i++ {
		g := readGroup(r, held)
		if r.err == nil && f.Group(g.Name) != nil {
			r.fail("group %q comes twice", g.Name)
		}
		f.groups = append(f.groups, g)
	}
	if r.err != nil {
		return nil
	}
	return f
}

func readGroup(r *reader, held *Figures) (g Group) {
	change := r.u8()
	g.Name = r.str()
	if change == 1 {
		old := held.Group(g.Name)
		if old == nil {
			r.fail("the difference to group %q, which is not held", g.Name)
			return g
		}
		g = *old
		g.Values = readChanged(r, old.Values)
		return g
	}
	if change != 0 {
		r.fail("a group of kind %d", change)
	}
	fields := r.u8()
	if fields > MaxFields {
		r.fail("%d figures in a row", fields)
	}
	for i := 0; i < fields && r.err == nil; i++ {
		g.Fields = append(g.Fields, r.str())
	}
	rows := r.u16()
	if rows > MaxGroupRows {
		r.fail("%d rows of figures", rows)
	}
	for i := 0; i < rows && r.err == nil; i++ {
		g.Rows = append(g.Rows, r.str())
	}
	if r.err != nil || fields*rows > len(r.b)-r.off { // each value has a byte at least
		r.fail("%d figures in %d bytes", fields*rows, len(r.b)-r.off)
		return g
	}
	if fields*rows > 0 {
		g.Values = make([]int64, fields*rows)
	}
	for k := range g.Values {
		g.Values[k] = readVarint(r)
	}
	return g
}

// readChanged reads values as they differ from those before.
func readChanged(r *reader, before []int64) []int64 {
	bits := r.take((len(before) + 7) / 8)
	if r.err != nil {
		return nil
	}
	same := true
	for _, b := range bits {
		same = same && b == 0
	}
	if same {
		return before
	}
	now := slices.Clone(before)
	for k := range now {
		if bits[k/8]&(1<<(k%8)) != 0 {
			now[k] += readVarint(r)
		}
	}
	return now
}

func readVarint(r *reader) int64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Varint(r.b[r.off:])
	if n <= 0 {
		r.fail("a number that does not end")
		return 0
	}
	r.off += n
	return v
}

// DecodeFigures reads the answer to a request of no files. held are the figures to which it may be
// the difference; nil is none.
func DecodeFigures(held *Figures, answer []byte, l Limits) (*Figures, error) {
	h, err := decodeHeader(answer, l.withDefaults())
	if err != nil {
		return nil, err
	}
	body := answer[headerFixed:]
	if len(body) != h.body || !h.figures {
		return nil, &ErrFormat{"answer", headerFixed, fmt.Sprintf("body of %d bytes, header says %d; figures: %v", len(body), h.body, h.figures)}
	}
	r := &reader{what: "answer", b: body}
	f := readFigures(r, held)
	if r.err == nil && r.off != len(body) {
		r.fail("%d bytes too many", len(body)-r.off)
	}
	if r.err != nil {
		return nil, r.err
	}
	return f, nil
}
