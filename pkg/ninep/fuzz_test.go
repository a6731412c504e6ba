package ninep

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A chopped reader gives what it has in pieces of those sizes.
type choppedConn struct {
	net.Conn
	data   []byte
	pieces []byte
}

func (c *choppedConn) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := len(c.data)
	if len(c.pieces) > 0 {
		n = min(n, int(c.pieces[0])+1)
		c.pieces = c.pieces[1:]
	}
	n = copy(p, c.data[:n])
	c.data = c.data[n:]
	return n, nil
}

// FuzzFrames: what a frameReader returns is what came, cut where the lengths
// say, however it arrives.
func FuzzFrames(f *testing.F) {
	f.Add(frameOf(tClunk, 1, 1, 0, 0, 0), []byte{0, 1, 2})
	f.Add(bytes.Repeat(frameOf(tRead, 1, make([]byte, 500)...), 40), []byte{255, 3, 9})
	f.Add([]byte{0, 0, 0, 0}, []byte{})
	f.Add([]byte{255, 255, 255, 255, 1, 2, 3}, []byte{2})
	pool := new(buffers)
	f.Fuzz(func(t *testing.T, data, pieces []byte) {
		const max = 600
		r := newFrameReader(&choppedConn{data: data, pieces: pieces}, pool, max)
		defer r.release()
		rest := data
		for {
			frame, err := r.next()
			if err != nil {
				if complete(rest, max) {
					t.Fatalf("%v, with a frame to come", err)
				}
				return
			}
			n := int(binary.LittleEndian.Uint32(frame))
			if n != len(frame) || n > max || n < headerSize || !bytes.HasPrefix(rest, frame) {
				t.Fatalf("frame % x", frame)
			}
			rest = rest[n:]
		}
	})
}

// complete reports whether a frame starts data.
func complete(data []byte, max uint32) bool {
	if len(data) < 4 {
		return false
	}
	n := binary.LittleEndian.Uint32(data)
	return n >= headerSize && n <= max && len(data) >= int(n)
}

// requests has one of every message that servers take.
func requests() [][]byte {
	var all [][]byte
	for _, k := range []call{
		{typ: tAttach, aname: "x", newfid: 7}, walk(1, 0, 1, "a", "b"), walk(1, 0, 1), on(tLopen, 2, 1),
		on(tRead, 3, 1), on(tReaddir, 4, 1), on(tGetattr, 5, 1), on(tReadlink, 6, 1), on(tClunk, 7, 1),
		on(tStatfs, 8, 1), on(tRemove, 9, 1), flush(10, 3), {typ: tWrite, data: []byte("hello")},
	} {
		all = append(all, appendCall(nil, &k))
	}
	version := appendVersion(nil, noTag, 8192, "9P2000.L")
	version[4] = tVersion
	fid := []byte{1, 0, 0, 0}
	return append(all, version, frameOf(tFsync, 1, fid...), frameOf(tXattrwalk, 1, append(fid, 9, 0, 0, 0, 1, 0, 'x')...),
		frameOf(tLock, 1, append(fid, append(make([]byte, 25), 1, 0, 'c')...)...),
		frameOf(tGetlock, 1, append(fid, append(make([]byte, 21), 1, 0, 'c')...)...), frameOf(tSetattr, 1))
}

// FuzzRequest decodes a message as the server does and, where that can be
// answered without a tree, encodes an answer.
func FuzzRequest(f *testing.F) {
	for _, r := range requests() {
		f.Add(r)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if !complete(frame, MaxMsize) {
			return
		}
		frame = frame[:binary.LittleEndian.Uint32(frame)]
		var r request
		if err := (dotL{}).decode(frame, &r); err != nil {
			return
		}
		if len(r.names) > MaxWalk || len(r.data) > len(frame) || len(r.uname)+len(r.aname) > len(frame) {
			t.Fatalf("%+v", r)
		}
		p := reply{data: r.data, text: r.aname}
		p.qids = p.walked[:1]
		switch r.op {
		case opNever, opUnknown, opVersion, opAuth, opXattr, opChange, opRemove: // refused, or answered otherwise
			return
		}
		if b := (dotL{}).appendReply(nil, &r, &p); !complete(b, MaxMsize) {
			t.Fatalf("answer % x", b)
		}
	})
}

// answers has one of every answer.
func answers() [][]byte {
	var all [][]byte
	p := reply{data: []byte("data"), text: "text"}
	p.qids = append(p.walked[:0], qid{qidDir, 0, 1})
	for o := opAttach; o < opXattr; o++ {
		if o == opRemove {
			continue // always refused
		}
		r := request{op: o, tag: 1, lock: []byte{1, 2}}
		q := p
		if o == opReaddir {
			q.data = dotL{}.appendEntry(nil, &vfs.DirEntry{Name: "a", ID: 2, Type: vfs.TypeFile, Next: 9}, nil)
		}
		all = append(all, dotL{}.appendReply(nil, &r, &q))
	}
	return append(all, dotL{}.appendError(nil, 1, io.EOF))
}

// FuzzAnswer decodes an answer as the client does.
func FuzzAnswer(f *testing.F) {
	for _, a := range answers() {
		f.Add(a)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if !complete(frame, MaxMsize) {
			return
		}
		frame = frame[:binary.LittleEndian.Uint32(frame)]
		k := call{typ: frame[4] - 1, names: []string{"a", "b"}, count: 100, data: []byte("12345")}
		k.ex = new(exchange)
		if k.decode(frame) != nil {
			return
		}
		if len(k.qids) > 2 || len(k.result) > 100 || k.typ == tWrite && k.n > 5 || len(k.text) > maxString {
			t.Fatalf("%+v", k)
		}
		for _, e := range k.entries {
			if !vfs.ValidName(e.Name) || e.ID == 0 || e.Next == 0 {
				t.Fatalf("%+v", e)
			}
		}
	})
}

// FuzzServer sends bytes to a server that has been attached to: it neither
// panics nor hangs nor leaves anything open.
func FuzzServer(f *testing.F) {
	for _, r := range requests() {
		f.Add(r)
	}
	f.Add(bytes.Join(requests(), nil))
	for _, g := range garbage {
		f.Add(g)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		serveBytes(t, append(hello("9P2000.L"), appendCall(nil, &call{typ: tAttach, tag: 1})...), data)
	})
}

// hello is a Tversion.
func hello(version string) []byte {
	b := appendVersion(nil, noTag, 8192, version)
	b[4] = tVersion
	return b
}

// serveBytes sends them to a server, after what is proper.
func serveBytes(t *testing.T, proper, data []byte) {
	tree := sample(64)
	s := NewServer(ServerConfig{
		Tree: tree, Identify: believe, RequestTimeout: 100 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
	})
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeConn(context.Background(), far)
	}()
	go io.Copy(io.Discard, near)
	near.SetWriteDeadline(time.Now().Add(patience))
	near.Write(append(proper, data...))
	near.Close()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("it hangs")
	}
	if tree.Handles() != 0 || len(tree.Violations()) != 0 {
		t.Fatalf("%d open, %q", tree.Handles(), tree.Violations())
	}
}
