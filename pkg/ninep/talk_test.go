package ninep

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A talk is a client that sends what a test tells it to, right or wrong.
type talk struct {
	t    testing.TB
	conn net.Conn
}

func (r *rig) talk(conn net.Conn) *talk {
	r.t.Helper()
	conn.SetDeadline(time.Now().Add(patience))
	return &talk{r.t, conn}
}

// hello negotiates and attaches fid 0.
func (k *talk) hello(msize uint32) *talk {
	k.t.Helper()
	b := appendVersion(nil, noTag, msize, "9P2000.L")
	b[4] = tVersion
	k.write(b)
	if f := k.read(); f[4] != tVersion+1 {
		k.t.Fatalf("Tversion answered by type %d", f[4])
	}
	k.send(call{typ: tAttach, tag: 1, fid: 0})
	k.expect(tAttach+1, 1)
	return k
}

func (k *talk) write(b []byte) {
	k.t.Helper()
	if _, err := k.conn.Write(b); err != nil {
		k.t.Fatalf("sending: %v", err)
	}
}

// send sends calls in one write.
func (k *talk) send(calls ...call) {
	k.t.Helper()
	var b []byte
	for i := range calls {
		b = appendCall(b, &calls[i])
	}
	k.write(b)
}

// read is the next frame.
func (k *talk) read() []byte {
	k.t.Helper()
	var size [4]byte
	if _, err := io.ReadFull(k.conn, size[:]); err != nil {
		k.t.Fatalf("receiving: %v", err)
	}
	frame := make([]byte, binary.LittleEndian.Uint32(size[:]))
	copy(frame, size[:])
	if _, err := io.ReadFull(k.conn, frame[4:]); err != nil {
		k.t.Fatalf("receiving: %v", err)
	}
	return frame
}

// expect is the next frame, which must be of that type and tag.
func (k *talk) expect(typ uint8, tag uint16) []byte {
	k.t.Helper()
	f := k.read()
	if got := binary.LittleEndian.Uint16(f[5:]); f[4] != typ || got != tag {
		k.t.Fatalf("got type %d tag %d (% x), want type %d tag %d", f[4], got, f[headerSize:min(len(f), 40)], typ, tag)
	}
	return f[headerSize:]
}

// refused expects an Rlerror.
func (k *talk) refused(tag uint16, want error) {
	k.t.Helper()
	if got := errRemote(binary.LittleEndian.Uint32(k.expect(tLerror+1, tag))); got != want {
		k.t.Fatalf("tag %d: refused with %v, want %v", tag, got, want)
	}
}

// ended expects the server to have ended the connection.
func (k *talk) ended() {
	k.t.Helper()
	if _, err := io.Copy(io.Discard, k.conn); err != nil && !isHangUp(err) {
		k.t.Fatalf("the connection goes on: %v", err)
	}
}

// flush is a Tflush of old.
func flush(tag, old uint16) call { return call{typ: tFlush, tag: tag, old: &call{tag: old}} }

func walk(tag uint16, fid, newfid uint32, names ...string) call {
	return call{typ: tWalk, tag: tag, fid: fid, newfid: newfid, names: names}
}

func on(typ uint8, tag uint16, fid uint32) call {
	return call{typ: typ, tag: tag, fid: fid, count: 8192}
}

// content is the data of an Rread.
func content(body []byte) string { return string(body[4:]) }

// names are those of an Rreaddir, and the offset behind the last.
func names(t testing.TB, body []byte) ([]string, uint64) {
	t.Helper()
	var k call
	if err := k.decodeEntries(body[4:]); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range k.entries {
		if !vfs.ValidName(e.Name) {
			t.Fatalf("entry %q", e.Name)
		}
		names = append(names, e.Name)
	}
	return names, k.resume
}
