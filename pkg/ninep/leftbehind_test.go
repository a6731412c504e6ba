package ninep

import (
	"bytes"
	"context"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// bytesOf is an open file of those bytes.
type bytesOf []byte

func (b bytesOf) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return copy(p, b[min(int(off), len(b)):]), nil
}

func (bytesOf) Close() error { return nil }

var _ vfs.Handle = bytesOf(nil)

// Where a buffer is left for a longer one, what a file says does not stay in it.
func TestNothingIsLeftBehind(t *testing.T) {
	text := bytes.Repeat([]byte("secret"), firstRead)
	c := &conn{srv: &Server{}, bigReads: make(chan struct{}, maxBigReads)}
	j := &job{scratch: make([]byte, 0, firstRead), room: len(text)}
	before := j.scratch[:cap(j.scratch)]
	got, err := c.readHandle(t.Context(), j, bytesOf(text), 0, len(text))
	if err != nil || !bytes.Equal(got, text) {
		t.Fatalf("%d bytes of %d, %v", len(got), len(text), err)
	}
	if n := len(before) - bytes.Count(before, []byte{0}); n != 0 {
		t.Errorf("%d bytes are left in the scratch that was too short", n)
	}

	o := &outbox{pool: new(buffers)}
	o.room.L = &o.mu
	o.lock()
	first := o.buf[:cap(o.buf)]
	o.buf = append(o.buf, bytes.Repeat([]byte("x"), len(first)-maxFixed/2)...)
	o.unlock()
	o.lock() // and so there is room for an answer without data
	o.buf = plain{}.appendError(o.buf, 1, errNoAuth)
	o.unlock()
	if n := len(first) - bytes.Count(first, []byte{0}); n != 0 {
		t.Errorf("%d bytes are left in the buffer that was too short", n)
	}
}
