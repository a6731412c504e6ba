package snapshot

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// An RPC is an open rpc file: written, then read to its end, as often as is wanted.
type RPC interface {
	vfs.Handle
	vfs.Writer
}

// An Asker is an RPC that takes a request and gives the start of its answer in one
// exchange: as much as answer has room for.
type Asker interface {
	Ask(ctx context.Context, request, answer []byte) (n int, err error)
}

// fetchFirst is how many bytes of an answer are asked for at least before its length
// is known.
const fetchFirst = 4 << 10

// Fetch writes req to h, which was opened for it, and reads the answer. It does
// not close h. base is the table that is held, nil for none: if the leaf can tell, it
// sends what has changed. A leaf that sends more or less than its header says is
// refused with an [ErrFormat], one that tells of more than l allows with an [ErrTooMuch]; ctx bounds the whole exchange.
func Fetch(ctx context.Context, h RPC, req Request, base *Table, l Limits) (*Table, error) {
	return FetchWith(ctx, h, req, base, nil, l)
}

// FetchFigures is Fetch of the node's figures alone, which were not taken longer ago than maxAge;
// known are those that are held, nil for none.
func FetchFigures(ctx context.Context, h RPC, maxAge time.Duration, known *Figures, l Limits) (*Figures, error) {
	req := Request{Figures: true, MaxAge: maxAge}
	if known != nil {
		req.Known = known.number
	}
	l = l.withDefaults()
	buf := make([]byte, fetchFirst)
	n, err := Ask(ctx, h, req.Append(nil), buf)
	if err != nil {
		return nil, err
	}
	answer, err := readAnswer(ctx, h, buf, n, l)
	if err != nil {
		return nil, fmt.Errorf("read figures: %w", err)
	}
	return DecodeFigures(known, answer, l)
}

// FetchWith is Fetch of a request that may ask for figures, of which known are held, nil for none.
func FetchWith(ctx context.Context, h RPC, req Request, base *Table, known *Figures, l Limits) (*Table, error) {
	if known != nil {
		req.Known = known.number
	}
	if base != nil && slices.Equal(base.files, req.Files) {
		req.Held = base.generation
	}
	if err := req.Check(); err != nil {
		return nil, err
	}
	l = l.withDefaults()
	first := make([]byte, max(fetchFirst, min(l.Expect, l.Answer)))
	n, err := Ask(ctx, h, req.Append(nil), first)
	if err != nil {
		return nil, err
	}
	answer, err := readAnswer(ctx, h, first, n, l)
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	if l.Turn != nil {
		if h, err := decodeHeader(answer, l); err == nil && h.body >= turnFrom {
			done, err := l.Turn(ctx, h.body)
			if err != nil {
				return nil, err
			}
			defer done()
		}
	}
	t, err := decode(base, known, answer, l)
	if err == nil {
		t.received = len(answer)
	}
	return t, err
}

// Ask writes a request and reads the start of its answer, in one exchange where h can.
func Ask(ctx context.Context, h RPC, msg, first []byte) (int, error) {
	if a, ok := h.(Asker); ok {
		n, err := a.Ask(ctx, msg, first)
		if err != nil {
			err = fmt.Errorf("ask: %w", err)
		}
		return n, err
	}
	for off := 0; off < len(msg); {
		n, err := h.WriteAt(ctx, msg[off:], int64(off))
		if err != nil {
			return 0, fmt.Errorf("write request: %w", err)
		}
		if n <= 0 || n > len(msg)-off {
			return 0, fmt.Errorf("write request: %d of %d bytes taken", n, len(msg)-off)
		}
		off += n
	}
	n, err := h.ReadAt(ctx, first, 0)
	if err != nil {
		err = fmt.Errorf("read answer: %w", err)
	}
	return n, err
}

// readAnswer reads what the header announces, and no byte more; the first n are in
// buf.
func readAnswer(ctx context.Context, h vfs.Handle, buf []byte, n int, l Limits) ([]byte, error) {
	head, err := decodeHeader(buf[:n], l)
	if err != nil {
		return nil, err
	}
	total := headerFixed + head.body
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
