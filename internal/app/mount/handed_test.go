package mount

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/handover"
	"github.com/aggrfs/aggrfs/pkg/fusefs"
)

// A server that ends before it has told the kernel's INIT does not take it from the next one,
// and no two servers are given the same generation.
func TestHandedOnAndOn(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	offers := make(chan handover.Offer, 10)
	go func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			taken, err := handover.Take(conn.(*net.UnixConn))
			if err != nil {
				t.Error(err)
				return
			}
			taken.Device.Close()
			stop := make(chan struct{})
			taken.Ready(handover.Ready{})
			if n == 0 {
				taken.Init([]byte("the kernel's"))
			}
			offers <- taken.Offer
			time.AfterFunc(20*time.Millisecond, func() { close(stop) })
			if err := taken.Serve(stop); err != nil {
				t.Error(err)
			}
		}
	}()
	dir := t.TempDir()
	dev, unmount, err := fusefs.MountDevice(dir, fusefs.Config{}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	defer func() {
		if err := unmount(); err != nil {
			t.Error(err)
		}
	}()
	src := &client.Source{Env: &client.Env{Log: slog.New(slog.DiscardHandler), DefaultServer: "unix:" + socket}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h, err := hand(ctx, src, dev, handover.Offer{Native: "/proc"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	seen := map[uint32]bool{}
	for n := range 5 {
		o := <-offers
		if init := string(o.Init); n > 0 && init != "the kernel's" || n == 0 && init != "" {
			t.Errorf("server %d is given %q", n, init)
		}
		if seen[o.Generation] {
			t.Errorf("server %d has the generation %d of another", n, o.Generation)
		}
		seen[o.Generation] = true
	}
	if h.Gone() < 4 {
		t.Errorf("%d servers have gone", h.Gone())
	}
}
