package ninep

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// headerSize is size[4] type[1] tag[2], with which every frame begins (intro(5)).
const headerSize = 7

// A frameSizeError is a frame whose length cannot be right. There is no way to
// find the next frame behind it.
type frameSizeError struct{ size, max uint32 }

func (e *frameSizeError) Error() string {
	return fmt.Sprintf("a frame of %d bytes, which is not within %d and %d", e.size, headerSize, e.max)
}

// A frameReader cuts what comes in on a connection into frames. A frame's
// length is checked before anything is allocated for it, and what is allocated
// grows with what has arrived, not with what a length promises. Small frames
// that arrive together are read together. Not for concurrent use.
type frameReader struct {
	conn net.Conn
	pool *buffers
	max  uint32 // the longest frame allowed, in bytes

	// What was read and not yet returned is buf.b[start:end]. Nothing there
	// means no buffer.
	buf        *buffer
	start, end int
	payer      *account // counts a buffer that is larger than the smallest; nil is nobody
	owed       int64    // bytes that it has counted
	first      [headerSize]byte

	// A socket is read by raw, which waits until it is readable before a buffer
	// is taken.
	raw     syscall.RawConn
	rawRead func(fd uintptr) bool // readNow, made once
	n       int                   // what readNow returns
	err     error
	sleeper
}

func newFrameReader(conn net.Conn, pool *buffers, max uint32) *frameReader {
	f := &frameReader{conn: conn, pool: pool, max: max}
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			f.raw, f.rawRead = raw, f.readNow
		}
	}
	return f
}

// poll is next for a caller that does not sleep: from end on it fails with
// EAGAIN where there is nothing to read.
func (f *frameReader) poll(end time.Time) ([]byte, error) {
	f.until = end
	frame, err := f.next()
	f.until = time.Time{}
	return frame, err
}

// ready reports whether next can answer without reading.
func (f *frameReader) ready() bool {
	have := f.end - f.start
	if have < 4 {
		return false
	}
	size := binary.LittleEndian.Uint32(f.buf.b[f.start:])
	return size < headerSize || size > f.max || have >= int(size)
}

// next returns the next frame, which is good until the next call. io.EOF is an
// end between two frames, io.ErrUnexpectedEOF one inside a frame.
func (f *frameReader) next() ([]byte, error) {
	for {
		want := headerSize
		if have := f.end - f.start; have >= 4 {
			size := binary.LittleEndian.Uint32(f.buf.b[f.start:])
			if size < headerSize || size > f.max {
				return nil, &frameSizeError{size, f.max}
			}
			if have >= int(size) {
				frame := f.buf.b[f.start : f.start+int(size) : f.start+int(size)]
				f.start += int(size)
				return frame, nil
			}
			want = int(size)
		}
		if err := f.fill(want); err != nil {
			if err == io.EOF && f.end > f.start {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// fill reads once, towards a frame of want bytes.
func (f *frameReader) fill(want int) error {
	if f.start == f.end {
		f.release()
	} else if err := f.makeRoom(want); err != nil {
		return err
	}
	if f.raw == nil {
		if f.buf == nil {
			return f.begin()
		}
		n, err := f.conn.Read(f.buf.b[f.end:])
		f.end += n
		if n > 0 {
			return nil
		}
		return err
	}
	f.n, f.err = 0, nil
	if err := f.raw.Read(f.rawRead); err != nil {
		return err
	}
	f.end += f.n
	if f.n == 0 && f.err == nil {
		return io.EOF
	}
	return f.err
}

// begin waits for the beginning of a frame, where that cannot be waited for
// without a read, in little memory.
func (f *frameReader) begin() error {
	n, err := f.conn.Read(f.first[:])
	if n == 0 {
		return err
	}
	f.buf = f.pool.get(0)
	f.end = copy(f.buf.b, f.first[:n])
	return nil
}

// readNow reads without blocking, for a while if need be; false is "not readable
// yet".
func (f *frameReader) readNow(fd uintptr) bool {
	if f.buf == nil {
		f.buf = f.pool.get(0)
	}
	n, err := readOnce(int(fd), f.buf.b[f.end:])
	if err == unix.EAGAIN {
		n, err = f.pollNow(int(fd), f.buf.b[f.end:])
	}
	if err == unix.EAGAIN {
		if f.end == 0 {
			f.release()
		}
		if f.until.IsZero() {
			return false
		}
	}
	f.woken()
	f.n, f.err = n, err
	return true
}

// makeRoom makes sure that there is room behind end: the begun frame moves to
// the front, and to a larger buffer once it fills this one. ENFILE: there is no room on
// the account for that.
func (f *frameReader) makeRoom(want int) error {
	if f.end < len(f.buf.b) && f.start+want <= len(f.buf.b) {
		return nil
	}
	b := f.buf
	if f.start == 0 && f.end == len(b.b) {
		if err := f.owe(int64(bufferSizes[sizeFor(want)])); err != nil {
			return fmt.Errorf("a long frame has not come to its end, and there is no room for more of it: %w", err)
		}
		b = f.pool.get(want)
	}
	n := copy(b.b, f.buf.b[f.start:f.end])
	if b != f.buf {
		clear(f.buf.b[:f.end])
		f.pool.put(f.buf)
		f.buf = b
	} else {
		clear(b.b[n:max(n, f.end)])
	}
	f.start, f.end = 0, n
	return nil
}

// owe has n bytes counted for the buffer.
func (f *frameReader) owe(n int64) error {
	if f.payer == nil || n == f.owed {
		return nil
	}
	if err := f.payer.pass(n - f.owed); err != nil {
		return err
	}
	f.owed = n
	return nil
}

// release gives the buffer back. What next returned is no longer good.
func (f *frameReader) release() {
	if f.buf != nil {
		clear(f.buf.b[:f.end]) // what a file says is in no buffer longer than it must
	}
	f.pool.put(f.buf)
	f.buf, f.start, f.end = nil, 0, 0
	_ = f.owe(0) // which is less
}
