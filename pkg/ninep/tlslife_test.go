package ninep

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
)

// TestTLSStall: clients that begin a handshake and do not go on hold up nobody and
// are dropped.
func TestTLSStall(t *testing.T) {
	r := newRig(t, vfstest.NewTree(), func(cfg *ServerConfig) { cfg.Limits.Negotiate = 2 * time.Second })
	p := newPKI(t)
	addr := r.serveTLS(p.open("n1"))
	front := p.open("head")
	const stalled = 20
	for i := range stalled {
		conn, err := net.Dial("tcp", addr.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.Write([]byte{22, 3, 1, 2, 0, 1}[:i%7]) // of a ClientHello
		defer r.talk(conn).ended()
	}
	wait.Until(t, "all are there", func() bool { return r.conns.Load() == stalled })
	rootOf(t, r.client(front.dial(r, addr, "n1"), ClientConfig{}))
	wait.Until(t, "they are dropped", func() bool { return r.conns.Load() <= 1 })
	wait.Until(t, "all are in the log, as a number", func() bool {
		n, lines := 0, r.log.lines()
		for _, line := range lines {
			one := 1
			if _, count, ok := strings.Cut(line, " count="); ok {
				one, _ = strconv.Atoi(count)
			}
			if strings.Contains(line, "TLS handshake in time") {
				n += one
			}
		}
		return n == stalled && len(lines) < stalled
	})
	rootOf(t, r.client(front.dial(r, addr, "n1"), ClientConfig{}))
}

// TestTLSServerEnds in the middle of a handshake.
func TestTLSServerEnds(t *testing.T) {
	s := NewServer(ServerConfig{Tree: vfstest.NewTree(), Identify: Trust{}.Identify})
	l, err := newPKI(t).open("n1").Listen(t.Context(), Addr{"tls", "127.0.0.1:0"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	wait.Until(t, "it is there", func() bool { return s.conns.Load() == 1 })
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("Serve does not end")
	}
}

// TestTLSDialEnds: a server that does not answer the handshake is given up when
// the context ends.
func TestTLSDialEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes connections
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = newPKI(t).open("head").Dial(ctx, Addr{"tls", l.Addr().String()}, "n1")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connecting to n1 at tls:127.0.0.1:") {
		t.Errorf("%v", err)
	}
}

// TestTLSHangUp: who goes away is not worth a line, at whatever moment.
func TestTLSHangUp(t *testing.T) {
	r := newRig(t, sample(64), nil)
	p := newPKI(t)
	addr := r.serveTLS(p.open("n1"))
	front := p.open("head")
	for i := range 20 {
		switch i % 4 {
		case 0:
			conn, err := net.Dial("tcp", addr.Address)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
		case 1:
			front.dial(r, addr, "n1").Close()
		case 2:
			r.client(front.dial(r, addr, "n1"), ClientConfig{}).Close()
		default:
			c := r.client(front.dial(r, addr, "n1"), ClientConfig{})
			if data, err := vfs.ReadFile(within(t), rootOf(t, c), 1000, "1", "stat"); err != nil || string(data) != "1 (init) S 0" {
				t.Errorf("%q, %v", data, err)
			}
			c.Close()
		}
	}
	wait.Until(t, "they are gone", func() bool { return r.conns.Load() == 0 })
	if lines := r.log.lines(); len(lines) > 0 {
		t.Errorf("logged: %q", lines)
	}
}

// TestTLSRenewal renews each side's certificate, and then the CA, under
// connections that go on.
func TestTLSRenewal(t *testing.T) {
	tree := newSeen()
	r := newRig(t, tree, byTrust(Trust{FrontEnds: []string{"head"}}))
	p := newPKI(t)
	node, front := p.open("n1"), p.open("head")
	addr := r.serveTLS(node)
	var clients []*Client
	connect := func() (serial string, err error) {
		conn, err := front.Dial(within(t), addr, "n1")
		if err != nil {
			return "", err
		}
		c, err := NewClient(within(t), conn, ClientConfig{})
		if err != nil {
			return "", err
		}
		t.Cleanup(func() { c.Close() })
		clients = append(clients, c)
		_, err = c.Attach(within(t), vfs.Root, "")
		return conn.(*tlsConn).ConnectionState().PeerCertificates[0].SerialNumber.String(), err
	}
	serials := map[string]bool{}
	step := func(what string, serialsSoFar int) {
		t.Helper()
		serial, err := connect()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if serials[serial] = true; len(serials) != serialsSoFar {
			t.Errorf("%s: the node has shown %d certificates, want %d", what, len(serials), serialsSoFar)
		}
		for i, c := range clients {
			if _, err := c.Attach(within(t), vfs.Root, ""); err != nil {
				t.Errorf("%s: connection %d: %v", what, i, err)
			}
		}
	}
	step("at first", 1)
	p.issue("n1")
	step("the node's renewed", 2)
	p.issue("head")
	step("the front end's renewed", 2)
	os.WriteFile(p.file("n1.crt"), []byte("a mess"), 0o644)
	step("a broken one", 2)
	os.Remove(p.file("head.key"))
	step("none", 2)
	for who, log := range map[string]*logLines{"node": node.log, "front end": front.log} {
		if lines := log.lines(); len(lines) != 1 || !strings.Contains(lines[0], "stays in force") {
			t.Errorf("the %s logged %q", who, lines)
		}
	}

	// Both move to another CA: first all trust both, then certificates change,
	// then the old CA goes.
	next := newPKI(t)
	next.issue("n1")
	next.issue("head")
	old, _ := os.ReadFile(p.file("ca.crt"))
	both, _ := os.ReadFile(next.file("ca.crt"))
	p.issue("n1")
	p.issue("head")
	os.WriteFile(p.file("ca.crt"), append(both, old...), 0o644)
	step("two CAs", 3)
	for _, name := range []string{"n1.key", "n1.crt", "head.key", "head.crt"} {
		if err := os.Rename(next.file(name), p.file(name)); err != nil {
			t.Fatal(err)
		}
	}
	step("another CA's certificates", 4)
	left := p.open("eve") // of the old CA, which is not trusted soon
	os.WriteFile(p.file("ca.crt"), both, 0o644)
	step("the old CA has gone", 4)
	conn, err := left.Dial(within(t), addr, "n1")
	if err == nil {
		_, err = NewClient(within(t), conn, ClientConfig{})
	}
	if err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Errorf("a certificate of the old CA: %v", err)
	}
}
