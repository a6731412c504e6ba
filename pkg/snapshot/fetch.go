package snapshot

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// An RPC is an open rpc file: written, then read to its end, as often as is wanted.
type RPC interface {
	vfs.Handle
	vfs.Writer
}

// fetchFirst is how many bytes of an answer are asked for at least before its length
// is known.
const fetchFirst = 4 << 10

// Fetch writes req to h, which was opened for it, and reads the answer. It does
// not close h. base is the table that is held, nil for none: if the leaf can tell, it
// sends what has changed. A leaf that sends more or less than its header says is
// refused with an [ErrFormat]; ctx bounds the whole exchange.
func Fetch(ctx context.Context, h RPC, req Request, base *Table, l Limits) (*Table, error) {
	if base != nil && slices.Equal(base.files, req.Files) {
		req.Held = base.generation
	}
	if err := req.Check(); err != nil {
		return nil, err
	}
	l = l.withDefaults()
	msg := req.Append(nil)
	for off := 0; off < len(msg); {
		n, err := h.WriteAt(ctx, msg[off:], int64(off))
		if err != nil {
			return nil, fmt.Errorf("write snapshot request: %w", err)
		}
		if n <= 0 || n > len(msg)-off {
			return nil, fmt.Errorf("write snapshot request: %d of %d bytes taken", n, len(msg)-off)
		}
		off += n
	}
	answer, err := readAnswer(ctx, h, l)
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	return Decode(base, answer, l)
}

// readAnswer reads what the header announces, and no byte more.
func readAnswer(ctx context.Context, h vfs.Handle, l Limits) ([]byte, error) {
	buf := make([]byte, max(fetchFirst, min(l.Expect, l.Answer)))
	n, err := h.ReadAt(ctx, buf, 0)
	if err != nil {
		return nil, err
	}
	head, err := decodeHeader(buf[:n], l)
	if err != nil {
		return nil, err
	}
	total := headerFixed + head.sent
	switch {
	case n >= total: // Decode tells if it is too long
		if n < len(buf)-len(buf)/8 {
			return bytes.Clone(buf[:n]), nil // it will be held
		}
		return buf[:n:n], nil
	case n < len(buf):
		return nil, &ErrFormat{"answer", n, fmt.Sprintf("ends here, header says %d bytes", total)}
	}
	if l.Room != nil {
		done, err := l.Room(ctx, total)
		if err != nil {
			return nil, err
		}
		defer done()
	}
	// The memory grows with what really comes, not with what was announced.
	for n < total {
		if n == len(buf) {
			bigger := make([]byte, min(total, max(8*len(buf), 1<<20)))
			copy(bigger, buf)
			buf = bigger
		}
		m, err := h.ReadAt(ctx, buf[n:], int64(n))
		if err != nil {
			return nil, err
		}
		if n += m; n < len(buf) {
			return nil, &ErrFormat{"answer", n, fmt.Sprintf("ends here, header says %d bytes", total)}
		}
	}
	return buf, nil
}
