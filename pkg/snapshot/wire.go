package snapshot

import (
	"encoding/binary"
	"fmt"
	"math"
)

// ErrFormat is an answer or a request that is not as the format has it.
type ErrFormat struct {
	What   string // "request" or "answer"
	Offset int    // bytes from the start of the part that is wrong
	Reason string
}

func (e *ErrFormat) Error() string {
	return fmt.Sprintf("snapshot %s: offset %d: %s", e.What, e.Offset, e.Reason)
}

// reader takes fields off a byte slice. The first failure sticks; all later
// fields are zero.
type reader struct {
	what string
	b    []byte
	off  int
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &ErrFormat{What: r.what, Offset: r.off, Reason: fmt.Sprintf(format, args...)}
	}
}

// take is the next n bytes, or nil after a failure.
func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.b)-r.off {
		r.fail("%d bytes wanted, %d left", n, len(r.b)-r.off)
		return nil
	}
	p := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return p
}

func (r *reader) u8() int {
	if p := r.take(1); p != nil {
		return int(p[0])
	}
	return 0
}

func (r *reader) u16() int {
	if p := r.take(2); p != nil {
		return int(binary.LittleEndian.Uint16(p))
	}
	return 0
}

func (r *reader) u32() uint32 {
	if p := r.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if p := r.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

func (r *reader) str() string { return string(r.take(r.u8())) }

// appendStr appends a str, cut to the 255 bytes that it can hold.
func appendStr(b []byte, s string) []byte {
	s = s[:min(len(s), math.MaxUint8)]
	return append(append(b, byte(len(s))), s...)
}
