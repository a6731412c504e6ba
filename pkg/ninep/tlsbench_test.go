package ninep

import (
	"context"
	"log/slog"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// TestTLSIdle measures what a connection over TLS costs both its ends.
func TestTLSIdle(t *testing.T) {
	const conns, most = 100, 64 << 10 // bytes each
	r := newRig(t, vfstest.NewTree(), nil)
	p := newPKI(t)
	front, addr := p.open("head"), r.serveTLS(p.open("n1"))
	connect := func() { r.talk(front.dial(r, addr, "n1")).hello(MaxMsize) }
	connect()
	before := inUse()
	for range conns {
		connect()
	}
	each := (inUse() - before) / conns
	t.Logf("%d bytes a connection", each)
	if each > most {
		t.Errorf("an idle connection takes %d bytes, want at most %d", each, most)
	}
}

// benchOver opens, reads and closes a file n at a time.
func benchOver(b *testing.B, network string, n int) {
	log := slog.New(slog.DiscardHandler)
	s := NewServer(ServerConfig{Tree: &benchTree{vfs.NewBytes(make([]byte, 1300), 0)}, Identify: believe, Log: log})
	p := newPKI(b)
	l, err := p.open("n1").Listen(b.Context(), Addr{network, "127.0.0.1:0"}, 0)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(ctx, l)
	}()
	b.Cleanup(func() {
		cancel()
		<-done
	})
	conn, err := p.open("head").Dial(ctx, Addr{network, l.Addr().String()}, "n1")
	if err != nil {
		b.Fatal(err)
	}
	c, err := NewClient(ctx, conn, ClientConfig{Log: log})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	dir := rootOf(b, c)
	parallel(b, n, func() error {
		h, _, err := vfs.OpenPath(ctx, dir, "f")
		if err != nil {
			return err
		}
		return h.Close()
	})
}

func BenchmarkTCPFile1(b *testing.B)  { benchOver(b, "tcp", 1) }
func BenchmarkTLSFile1(b *testing.B)  { benchOver(b, "tls", 1) }
func BenchmarkTCPFile32(b *testing.B) { benchOver(b, "tcp", 32) }
func BenchmarkTLSFile32(b *testing.B) { benchOver(b, "tls", 32) }

// BenchmarkTLSDial is one handshake, both sides of it.
func BenchmarkTLSDial(b *testing.B) {
	r := newRig(b, vfstest.NewTree(), nil)
	p := newPKI(b)
	front, addr := p.open("head"), r.serveTLS(p.open("n1"))
	for b.Loop() {
		c, err := front.Dial(b.Context(), addr, "n1")
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}
