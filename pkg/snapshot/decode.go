package snapshot

import "fmt"

const answerMagic = "agsn"

// header is the fixed start of an answer.
type header struct {
	body       int // its length in bytes
	generation uint64
	held       uint64 // the generation that it is the difference to; 0 is none
	figures    bool   // it has figures
}

// decodeHeader reads the first headerFixed bytes of an answer and holds its
// length against the limits, so that it can be allocated.
func decodeHeader(b []byte, l Limits) (header, error) {
	var h header
	r := &reader{what: "answer", b: b}
	if string(r.take(4)) != answerMagic {
		r.fail("not a snapshot")
	}
	if v := r.u16(); v != formatVersion {
		r.fail("version %d, this side speaks %d", v, formatVersion)
	}
	flags := r.u16()
	if flags&^flagFigures != 0 {
		r.fail("unknown flags %#x", flags)
	}
	h.figures = flags&flagFigures != 0
	body, again := r.u32(), r.u32()
	h.generation, h.held = r.u64(), r.u64()
	if most := max(body, again); r.err == nil && most > uint32(l.Answer) {
		r.err = &ErrTooMuch{What: "bytes", Have: int(most), Most: l.Answer}
	}
	if body != again {
		r.fail("it is said to be %d bytes and %d bytes long", body, again)
	}
	h.body = int(body)
	if h.held != 0 && h.generation < h.held {
		r.fail("generation %d, the difference to %d", h.generation, h.held)
	}
	return h, r.err
}

// Decode makes a table of an answer, which it keeps and which must not change
// afterwards. base is the table before, to which the answer may be the difference; nil
// is nothing.
func Decode(base *Table, answer []byte, l Limits) (*Table, error) {
	return decode(base, nil, answer, l)
}

// decode is Decode of an answer whose figures may be the difference to those known.
func decode(base *Table, known *Figures, answer []byte, l Limits) (*Table, error) {
	l = l.withDefaults()
	h, err := decodeHeader(answer, l)
	if err != nil {
		return nil, err
	}
	body := answer[headerFixed:]
	if len(body) != h.body {
		return nil, &ErrFormat{"answer", headerFixed, fmt.Sprintf("body of %d bytes, header says %d", len(body), h.body)}
	}
	d := &decoder{reader: reader{what: "answer", b: body}, limits: l, known: known, hasFigures: h.figures}
	defer func() { d.b = nil }() // the table is a part of d, and may have been copied together
	if h.held == 0 {
		return d.whole(h.generation)
	}
	if base == nil || base.generation != h.held {
		return nil, &ErrFormat{"answer", 24, fmt.Sprintf("the difference to generation %d, which is not held", h.held)}
	}
	return d.difference(base, h.generation)
}
