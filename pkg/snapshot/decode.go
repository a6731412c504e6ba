package snapshot

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

const answerMagic = "agsn"

// header is the fixed start of an answer.
type header struct {
	compressed bool
	sent       int // bytes of the body as sent
	decoded    int // bytes of the body decompressed
	generation uint64
	held       uint64 // the generation that it is the difference to; 0 is none
}

// decodeHeader reads the first headerFixed bytes of an answer and holds its
// lengths against the limits, so that they can be allocated.
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
	if flags&^flagCompressed != 0 {
		r.fail("unknown flags %#x", flags)
	}
	h.compressed = flags&flagCompressed != 0
	sent, decoded := r.u32(), r.u32()
	h.generation, h.held = r.u64(), r.u64()
	if most := uint32(l.Answer); r.err == nil && (sent > most || decoded > most) {
		r.err = &ErrTooMuch{What: "bytes", Have: int(max(sent, decoded)), Most: l.Answer}
	}
	h.sent, h.decoded = int(sent), int(decoded)
	if !h.compressed && h.sent != h.decoded {
		r.fail("%d bytes sent, %d said, and not compressed", h.sent, h.decoded)
	}
	if h.held != 0 && h.generation < h.held {
		r.fail("generation %d, the difference to %d", h.generation, h.held)
	}
	return h, r.err
}

// Decode makes a table of an answer, which it keeps and which must not change
// afterwards. base is what is held, to which the answer may be the difference; nil
// is nothing.
func Decode(base *Table, answer []byte, l Limits) (*Table, error) {
	l = l.withDefaults()
	h, err := decodeHeader(answer, l)
	if err != nil {
		return nil, err
	}
	body := answer[headerFixed:]
	if len(body) != h.sent {
		return nil, &ErrFormat{"answer", headerFixed, fmt.Sprintf("body of %d bytes, header says %d", len(body), h.sent)}
	}
	if h.compressed {
		if body, err = unpack(body, h.decoded); err != nil {
			return nil, err
		}
	}
	d := &decoder{reader: reader{what: "answer", b: body}, limits: l}
	if h.held == 0 {
		return d.whole(h.generation)
	}
	if base == nil || base.generation != h.held {
		return nil, &ErrFormat{"answer", 24, fmt.Sprintf("the difference to generation %d, which is not held", h.held)}
	}
	return d.difference(base, h.generation)
}

// unpack decompresses a body that must come out at exactly size bytes.
func unpack(body []byte, size int) ([]byte, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(uint64(max(size, 1))), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	// What a few bytes claim to be is believed only as it comes out.
	first := min(size, max(16*len(body), 1<<20))
	out, err := d.DecodeAll(body, make([]byte, 0, first))
	if err != nil && first < size {
		out, err = d.DecodeAll(body, make([]byte, 0, size))
	}
	if err != nil {
		return nil, &ErrFormat{"answer", headerFixed, "body does not decompress: " + err.Error()}
	}
	if len(out) != size {
		return nil, &ErrFormat{"answer", headerFixed, fmt.Sprintf("body decompresses to %d bytes, header says %d", len(out), size)}
	}
	return out, nil
}
