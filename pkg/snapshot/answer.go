package snapshot

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"
)

// Answer is the answer to req that says what t says: as what changed since the
// generation held, if that is known. age is how long ago the sweep began that t is of.
func (t *Table) Answer(req Request, age time.Duration) []byte {
	return t.AnswerWith(req, age, nil, nil)
}

// AnswerWith is Answer with figures, as the difference to known if that is not nil. They may be
// nil, and are left out where they were not asked for.
func (t *Table) AnswerWith(req Request, age time.Duration, f, known *Figures) []byte {
	if !req.Figures {
		f = nil
	}
	var held, generation uint64
	if req.Remember {
		generation = t.generation
	}
	if t.Since(req.Held) {
		held = req.Held
	}
	b := t.appendBody(newAnswer(headerFixed+t.sizeSince(held)), held, age, f, known)
	putHeader(b, generation, held)
	if f != nil {
		binary.LittleEndian.PutUint16(b[6:], flagFigures)
	}
	return b
}

// answers are buffers that were answers once; see recycle.
var answers sync.Pool // of *[]byte

// maxRecycled is how large an answer may be to be used again, in bytes.
const maxRecycled = 1 << 20

// newAnswer is a buffer with room for a header and, if it can be foreseen, the rest.
func newAnswer(size int) []byte {
	b, _ := answers.Get().(*[]byte)
	if b == nil || cap(*b) < size {
		return make([]byte, headerFixed, size)
	}
	return (*b)[:headerFixed]
}

// recycle lets an answer that nobody needs any more be used again.
func recycle(answer []byte) {
	if cap(answer) <= maxRecycled {
		clear(answer)
		answers.Put(&answer)
	}
}

// sizeSince is about how long the body of an answer is, in bytes; never less for the
// whole.
func (t *Table) sizeSince(held uint64) int {
	n := 1024 + len(t.names.wire())
	for _, name := range t.files {
		n += 2 + len(name)
	}
	if held == 0 {
		n += t.live
		for _, set := range t.forms {
			for i := range set {
				n += 2 + len(set[i].text)
			}
		}
	}
	return n
}

// appendBody appends the body of the answer to who holds that generation, 0 for none.
func (t *Table) appendBody(b []byte, held uint64, age time.Duration, figures, known *Figures) []byte {
	f := t.facts
	f.Age = age
	b = appendFacts(b, f)
	if figures != nil {
		start := len(b)
		b = figures.append(append(b, 0, 0, 0, 0), known)
		binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	}
	if held == 0 {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(t.files)))
		for _, name := range t.files {
			b = appendStr(b, name)
		}
		b = append(b, t.names.wire()...)
	}
	for _, set := range t.forms {
		fresh := slices.IndexFunc(set, func(f form) bool { return held == 0 || f.since > held })
		if fresh < 0 {
			fresh = len(set)
		}
		b = append(b, byte(len(set)-fresh))
		for i := fresh; i < len(set); i++ {
			b = binary.LittleEndian.AppendUint16(b, uint16(len(set[i].text)))
			b = append(b, set[i].text...)
		}
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(t.skipped))
	var gone []int32
	if held != 0 {
		gone = t.goneSince(held)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(gone)))
	records := len(b)
	b = append(b, 0, 0, 0, 0)
	for _, pid := range gone {
		b = binary.LittleEndian.AppendUint32(b, uint32(pid))
	}
	n := 0
	for i := range t.refs {
		if held != 0 && !t.Changed(i, held) {
			continue
		}
		r := t.record(i)
		b = append(b, r[:recordLen(r, len(t.files))]...)
		n++
	}
	binary.LittleEndian.PutUint32(b[records:], uint32(n))
	return b
}

// putHeader makes the start of b the header of the answer that b is.
func putHeader(b []byte, generation, held uint64) {
	body := uint32(len(b) - headerFixed)
	copy(b, answerMagic)
	binary.LittleEndian.PutUint16(b[4:], formatVersion)
	binary.LittleEndian.PutUint16(b[6:], 0)
	binary.LittleEndian.PutUint32(b[8:], body)
	binary.LittleEndian.PutUint32(b[12:], body)
	binary.LittleEndian.PutUint64(b[16:], generation)
	binary.LittleEndian.PutUint64(b[24:], held)
}
