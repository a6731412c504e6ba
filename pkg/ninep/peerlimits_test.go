package ninep

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
)

// TestPeerConnections: one peer's connections leave others theirs, and one that
// ends makes room.
func TestPeerConnections(t *testing.T) {
	r := newRig(t, vfstest.NewTree(), func(cfg *ServerConfig) { cfg.Limits.PeerConnections = 2 })
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := r.serveOn(tcp)
	first := r.talk(r.dial()).hello(8192)
	r.talk(r.dial()).hello(8192)
	r.talk(r.dial()).ended()
	for range 2 {
		conn, err := net.Dial("tcp", addr) // another peer: a machine
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		r.talk(conn).hello(8192)
	}
	first.conn.Close()
	wait.Until(t, "there is room", func() bool { return r.conns.Load() == 3 })
	r.talk(r.dial()).hello(8192)
	if lines := r.lines(); len(lines) != 1 || !strings.Contains(lines[0], "uid 0") {
		t.Errorf("logged: %q", lines)
	}
}

// TestCertificateConnections: over TLS it is the certificate that counts.
func TestCertificateConnections(t *testing.T) {
	r := newRig(t, vfstest.NewTree(), func(cfg *ServerConfig) { cfg.Limits.PeerConnections = 2 })
	p := newPKI(t)
	addr := r.serveTLS(p.open("node"))
	for _, name := range []string{"front", "stranger"} {
		keys := p.open(name)
		for range 2 {
			r.talk(keys.dial(r, addr, "node")).hello(8192)
		}
	}
	r.talk(p.open("front").dial(r, addr, "node")).ended()
	wait.Until(t, "it is logged", func() bool { return len(r.lines()) == 1 })
	if lines := r.lines(); !strings.Contains(lines[0], "front") {
		t.Errorf("logged: %q", lines)
	}
}

// TestIdentityBytes: what an identity pins is counted over all its connections,
// and others are not concerned.
func TestIdentityBytes(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("f", vfstest.File{Data: make([]byte, 600)})
	r := newRig(t, tree, func(cfg *ServerConfig) {
		cfg.Limits.IdentityBytes = 3*(connWeight+fidWeight+placeWeight) + 3*(fidWeight+2*placeWeight+1) + 1300
	})
	open := func(c *talk, fid uint32) {
		t.Helper()
		c.send(walk(1, 0, fid, "f"))
		c.expect(tWalk+1, 1)
		c.send(on(tLopen, 2, fid))
	}
	a, b, other := r.talk(r.dial()).hello(8192), r.talk(r.dial()).hello(8192), r.talk(r.dial()).hello(8192)
	open(a, 1)
	a.expect(tLopen+1, 2)
	open(b, 1)
	b.expect(tLopen+1, 2)
	open(b, 2)
	b.refused(2, syscall.ENFILE)
	other.send(call{typ: tAttach, tag: 3, fid: 9, newfid: 7})
	other.expect(tAttach+1, 3)
	other.send(walk(1, 9, 1, "f"), on(tLopen, 2, 1))
	other.expect(tWalk+1, 1)
	other.expect(tLopen+1, 2)
	a.conn.Close()
	wait.Until(t, "it is given back", func() bool {
		b.send(on(tLopen, 2, 2))
		return b.read()[4] == tLopen+1
	})
	for fid := range uint32(2) {
		b.send(on(tClunk, 1, fid+1))
		b.expect(tClunk+1, 1)
	}
	other.send(on(tClunk, 4, 9), on(tClunk, 5, 1))
	other.expect(tClunk+1, 4)
	other.expect(tClunk+1, 5)
	of := r.payer(Peer{}, vfs.Root)
	want := int64(2*connWeight + 2*(fidWeight+placeWeight)) // b's and other's first fids
	wait.Until(t, "all else is given back", func() bool { return of.held.Load() == want && of.passing.Load() == 0 })
}

// TestIdle: a connection is closed that neither asks nor holds anything; one that
// holds a fid is not.
func TestIdle(t *testing.T) {
	r := newRig(t, vfstest.NewTree(), func(cfg *ServerConfig) { cfg.Limits.Idle = 50 * time.Millisecond })
	holds, lets := r.talk(r.dial()).hello(8192), r.talk(r.dial()).hello(8192)
	lets.send(on(tClunk, 1, 0))
	lets.expect(tClunk+1, 1)
	lets.ended()
	holds.send(on(tGetattr, 1, 0))
	holds.expect(tGetattr+1, 1)
	if lines := r.lines(); len(lines) > 0 {
		t.Errorf("logged: %q", lines)
	}
}

// TestPathLength: a fid stands on no longer path than Linux has, however it got
// there.
func TestPathLength(t *testing.T) {
	tree := vfstest.NewTree()
	name := strings.Repeat("x", vfs.MaxName)
	tree.Put(strings.Repeat(name+"/", 16)+"f", vfstest.File{})
	tree.Put(strings.Repeat(name+"/", 15)+strings.Repeat("y", 254), vfstest.File{})
	r := newRig(t, tree, nil)
	c := r.talk(r.dial()).hello(8192)
	var path []string
	for range 16 {
		path = append(path, name)
	}
	c.send(walk(1, 0, 1, path...), walk(2, 1, 1, "f"), walk(3, 1, 1, "..", "..", name, name))
	c.expect(tWalk+1, 1)
	c.refused(2, syscall.ENAMETOOLONG)
	c.expect(tWalk+1, 3)
}
