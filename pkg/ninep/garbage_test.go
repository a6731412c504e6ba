package ninep

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/wait"
)

func frameOf(typ uint8, tag uint16, body ...byte) []byte {
	return sizeFrame(append(begin(nil, typ, tag), body...), 0)
}

// garbage is what a server must not be sent, after a proper beginning.
var garbage = map[string][]byte{
	"length 0":              {0, 0, 0, 0, 1, 2, 3},
	"length 6":              {6, 0, 0, 0, tClunk, 0, 0},
	"length beyond msize":   {0xff, 0xff, 0xff, 0x7f, tClunk, 0, 0},
	"length one beyond":     {0x01, 0x20, 0, 0, tClunk, 0, 0},
	"no fields":             frameOf(tClunk, 1),
	"too many fields":       frameOf(tClunk, 1, 0, 0, 0, 0, 0),
	"string beyond the end": frameOf(tWalk, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 200, 0, 'x'),
	"17 names":              frameOf(tWalk, 1, append([]byte{0, 0, 0, 0, 1, 0, 0, 0, 17, 0}, make([]byte, 34)...)...),
	"data beyond the end":   frameOf(tWrite, 1, append(make([]byte, 12), 0xff, 0xff, 0xff, 0xff)...),
	"an answer":             frameOf(tClunk+1, 1),
	"an error":              frameOf(tLerror+1, 1, 5, 0, 0, 0),
	"bad version":           frameOf(tVersion, noTag, 1, 2),
	"short getlock":         frameOf(tGetlock, 1, 0, 0, 0, 0, 1),
	"text":                  []byte("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
}

func TestGarbageFromClient(t *testing.T) {
	for name, bytes := range garbage {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, sample(16), nil)
			c := r.talk(r.dial()).hello(8192)
			c.send(walk(1, 0, 1, "stuck"), on(tLopen, 2, 1))
			c.expect(tWalk+1, 1)
			c.write(bytes)
			c.ended()
			wait.Until(t, "it is logged", func() bool { return len(r.lines()) > 0 })
			wait.Until(t, "the connection is gone", func() bool { return r.conns.Load() == 0 })
			if lines := r.lines(); len(lines) != 1 || !strings.Contains(lines[0], "uid 0") {
				t.Errorf("logged: %q", lines)
			}
		})
	}
	t.Run("ends inside a frame", func(t *testing.T) {
		r := newRig(t, sample(16), nil)
		c := r.talk(r.dial()).hello(8192)
		c.write([]byte{11, 0, 0, 0, tClunk})
		c.conn.Close()
		wait.Until(t, "it is logged", func() bool { return len(r.lines()) == 1 })
	})
	t.Run("a tag twice", func(t *testing.T) {
		r := newRig(t, sample(16), nil)
		c := r.talk(r.dial()).hello(8192)
		c.send(walk(1, 0, 1, "stuck"), on(tLopen, 2, 1), on(tGetattr, 2, 0))
		c.ended()
		wait.Until(t, "it is logged", func() bool { return len(r.lines()) == 1 })
	})
	t.Run("no version first", func(t *testing.T) {
		r := newRig(t, sample(16), nil)
		c := r.talk(r.dial())
		c.send(on(tClunk, 1, 1))
		c.ended()
		wait.Until(t, "it is logged", func() bool { return len(r.lines()) == 1 })
	})
}

func TestNegotiate(t *testing.T) {
	r := newRig(t, sample(16), func(cfg *ServerConfig) { cfg.Limits.Msize = 8192 })
	c := r.talk(r.dial())
	for _, tt := range []struct {
		version, want string
		msize, got    uint32
	}{
		{"9P2000.L", "9P2000.L", 4096, 4096},
		{"9P2000.L", "9P2000.L", 1 << 30, 8192},
		{"9P2000", "9P2000", 4096, 4096},
		{"9P2000.u", "9P2000", 4096, 4096},
		{"9P2000.L.x", "9P2000.L", 4096, 4096},
		{"9P2000..x", "9P2000", 4096, 4096},
		{"9P2024.u", "9P2000", 4096, 4096},
		{"9P1999", "unknown", 4096, 4096},
		{"9P", "unknown", 4096, 4096},
		{"9P20000", "unknown", 4096, 4096},
		{"9p2000.L", "unknown", 4096, 4096},
		{"9P2000.Lx", "9P2000", 4096, 4096},
		{"", "unknown", 4096, 4096},
		{"9P2000.L", "unknown", 100, 100},
		{"9P2000.L", "9P2000.L", MinMsize, MinMsize},
	} {
		b := appendVersion(nil, noTag, tt.msize, tt.version)
		b[4] = tVersion
		c.write(b)
		k := cursor{b: c.expect(tVersion+1, noTag)}
		if msize, version := k.u32(), k.str(99); msize != tt.got || version != tt.want {
			t.Errorf("%q %d: answered %q %d, want %q %d", tt.version, tt.msize, version, msize, tt.want, tt.got)
		}
	}
	r = newRig(t, sample(16), func(cfg *ServerConfig) { cfg.Limits.Negotiate = 100 * time.Millisecond })
	silent := r.talk(r.dial())
	silent.ended()
	wait.Until(t, "it is logged", func() bool { return len(r.lines()) == 1 })
}

// TestNewVersion shows that a Tversion aborts what is under way and releases all.
func TestNewVersion(t *testing.T) {
	tree := sample(16)
	r := newRig(t, tree, nil)
	c := r.talk(r.dial()).hello(8192)
	c.send(walk(1, 0, 1, "stuck"), walk(2, 0, 2, "1", "status"), on(tLopen, 3, 2))
	for range 3 {
		c.read()
	}
	c.send(on(tLopen, 4, 1), on(tClunk, 5, 1))
	c.hello(8192)
	if n := tree.Handles(); n != 0 {
		t.Errorf("%d handles are open", n)
	}
	c.send(on(tGetattr, 6, 2))
	c.refused(6, syscall.EBADF)
}

// badServer answers Tversion properly, then everything with what answer says.
func badServer(t *testing.T, answer func(typ uint8, tag uint16) []byte) (*Client, *logLines) {
	near, far := net.Pipe()
	var work sync.WaitGroup
	work.Go(func() {
		defer far.Close()
		f := newFrameReader(far, new(buffers), MaxMsize)
		defer f.release()
		if _, err := f.next(); err != nil {
			return
		}
		far.Write(appendVersion(nil, noTag, 8192, "9P2000.L"))
		for {
			frame, err := f.next()
			if err != nil {
				return
			}
			b := answer(frame[4], binary.LittleEndian.Uint16(frame[5:]))
			if b == nil {
				return
			}
			if _, err := far.Write(b); err != nil {
				return
			}
		}
	})
	lines, log := newLog()
	c, err := NewClient(within(t), near, ClientConfig{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		work.Wait()
	})
	return c, lines
}

func TestGarbageFromServer(t *testing.T) {
	dir := append([]byte{qidDir}, append(make([]byte, 4), 1, 0, 0, 0, 0, 0, 0, 0)...)
	attached := func(next func(typ uint8, tag uint16) []byte) func(uint8, uint16) []byte {
		return func(typ uint8, tag uint16) []byte {
			if typ == tAttach {
				return frameOf(tAttach+1, tag, dir...)
			}
			return next(typ, tag)
		}
	}
	long := func(n uint32, len int) []byte { return append(putU32(nil, n), make([]byte, len)...) }
	for name, answer := range map[string]func(typ uint8, tag uint16) []byte{
		"unknown tag":     func(typ uint8, tag uint16) []byte { return frameOf(typ+1, tag+100) },
		"wrong type":      func(typ uint8, tag uint16) []byte { return frameOf(tFlush+1, tag) },
		"length 3":        func(uint8, uint16) []byte { return []byte{3, 0, 0, 0} },
		"length 2^31":     func(uint8, uint16) []byte { return []byte{0, 0, 0, 0x80, 1, 2, 3} },
		"no fields":       func(typ uint8, tag uint16) []byte { return frameOf(typ+1, tag) },
		"short error":     func(typ uint8, tag uint16) []byte { return frameOf(tLerror+1, tag, 1) },
		"half a frame":    func(typ uint8, tag uint16) []byte { return frameOf(typ+1, tag, dir...)[:12] },
		"too many qids":   func(typ uint8, tag uint16) []byte { return frameOf(typ+1, tag, 200, 0) },
		"too much data":   func(typ uint8, tag uint16) []byte { return frameOf(typ+1, tag, long(8190, 8000)...) },
		"data not there":  func(typ uint8, tag uint16) []byte { return frameOf(typ+1, tag, long(1<<31, 1)...) },
		"a request":       func(typ uint8, tag uint16) []byte { return frameOf(typ, tag) },
		"an answer twice": func(typ uint8, tag uint16) []byte { return bytes.Repeat(frameOf(tLerror+1, tag, 2, 0, 0, 0), 9) },
	} {
		t.Run(name, func(t *testing.T) {
			callers, half := 4, name == "half a frame"
			if half {
				callers = 1 // or another may find the end while it writes
			}
			frames := 0
			c, lines := badServer(t, attached(func(typ uint8, tag uint16) []byte {
				if frames++; half && frames > 1 {
					return nil
				}
				return answer(typ, tag)
			}))
			root := rootOf(t, c)
			var calls sync.WaitGroup
			for range callers {
				calls.Go(func() {
					_, err := root.Walk(within(t), "x")
					if err == nil {
						t.Error("no error")
					}
				})
			}
			calls.Wait()
			<-c.Done()
			var ce *ConnError
			if err := c.Err(); !errors.As(err, &ce) || vfs.Errno(err) != syscall.EIO {
				t.Errorf("Err: %v", err)
			}
			if n := len(lines.lines()); n != 1 {
				t.Errorf("logged: %q", lines.lines())
			}
			if _, err := root.Walk(within(t), "x"); vfs.Errno(err) != syscall.EIO {
				t.Errorf("after the end: %v", err)
			}
		})
	}
}

func TestBadHello(t *testing.T) {
	for name, answer := range map[string][]byte{
		"other version": appendVersion(nil, noTag, 8192, "unknown"),
		"other tag":     appendVersion(nil, 1, 8192, "9P2000.L"),
		"other type":    frameOf(tLerror+1, noTag, 1, 0, 0, 0),
		"larger msize":  appendVersion(nil, noTag, MaxMsize+1, "9P2000.L"),
		"tiny msize":    appendVersion(nil, noTag, 24, "9P2000.L"),
		"hang-up":       nil,
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			var work sync.WaitGroup
			work.Go(func() {
				io.ReadFull(far, make([]byte, 21))
				far.Write(answer)
				far.Close()
			})
			if _, err := NewClient(within(t), near, ClientConfig{}); vfs.Errno(err) != syscall.EIO {
				t.Errorf("NewClient: %v", err)
			}
			work.Wait()
		})
	}
	t.Run("silence", func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		if _, err := NewClient(ctx, near, ClientConfig{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("NewClient: %v", err)
		}
	})
}
