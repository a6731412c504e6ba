package snapshot

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"
)

const answerMagic = "agsn"

// header is the fixed start of an answer.
type header struct {
	compressed bool
	sent       int // bytes of the body as sent
	decoded    int // bytes of the body decompressed
	generation uint64
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
	h.generation = r.u64()
	if most := uint32(l.Answer); sent > most || decoded > most {
		r.fail("%d bytes, %d decompressed, at most %d are allowed", sent, decoded, most)
	}
	h.sent, h.decoded = int(sent), int(decoded)
	if !h.compressed && h.sent != h.decoded {
		r.fail("%d bytes sent, %d said, and not compressed", h.sent, h.decoded)
	}
	return h, r.err
}

// Decode makes a table of an answer, which it keeps and which must not change
// afterwards.
func Decode(answer []byte, l Limits) (*Table, error) {
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
	return index(body, h.generation, l)
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

// index checks a body from end to end, so that Table need not, and notes where
// its records start.
func index(body []byte, generation uint64, l Limits) (*Table, error) {
	r := &reader{what: "answer", b: body}
	t := &Table{body: body, generation: generation, facts: r.facts()}
	n := r.u16()
	if n == 0 || n > MaxFiles {
		r.fail("%d files, must be 1 to %d", n, MaxFiles)
	}
	for i := 0; i < n && r.err == nil; i++ {
		name := r.str()
		if !validFile(name) || slices.Contains(t.files, name) {
			r.fail("bad or repeated file name %q", name)
		}
		t.files = append(t.files, name)
	}
	skipped, records := r.u32(), r.u32()
	t.skipped = int(min(skipped, maxPID))
	smallest := recordFixed + 4*n
	if r.err == nil && (int64(records) > int64(l.Procs) || int64(records)*int64(smallest) > int64(len(body)-r.off)) {
		r.fail("%d records in %d bytes, at most %d are allowed", records, len(body)-r.off, l.Procs)
	}
	if r.err != nil {
		return nil, r.err
	}
	t.offs = make([]uint32, 0, records)
	last := uint32(0)
	for range records {
		t.offs = append(t.offs, uint32(r.off))
		if last = r.record(last, n); r.err != nil {
			return nil, r.err
		}
	}
	if r.off != len(body) {
		r.fail("%d bytes too many", len(body)-r.off)
		return nil, r.err
	}
	return t, nil
}

// record passes over one record of n files, whose pid must be above last, and
// returns the pid.
func (r *reader) record(last uint32, n int) uint32 {
	fixed := r.take(recordFixed)
	if fixed == nil {
		return 0
	}
	pid := binary.LittleEndian.Uint32(fixed)
	if pid <= last || pid > maxPID {
		r.fail("pid %d after pid %d", pid, last)
	}
	if flags := binary.LittleEndian.Uint32(fixed[flagsAt:]); flags&^flagOwnerReads != 0 {
		r.fail("pid %d: unknown flags %#x", pid, flags)
	}
	for range n {
		word := r.u32()
		if word&errnoBit == 0 {
			r.take(int(word))
		} else if e := word &^ errnoBit; e == 0 || e > maxErrno {
			r.fail("pid %d: errno %d", pid, e)
		}
	}
	return pid
}
