package cluster

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/ninep"
)

// lockedBuffer is a log that is written to concurrently.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

// Write implements io.Writer.
func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// TestBadLeaf: a leaf that ends each connection by an error does not fill the log of who
// connects again.
func TestBadLeaf(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "leaf")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	defer work.Wait()
	defer l.Close()
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			hello := make([]byte, 100)
			if n, err := conn.Read(hello); err == nil { // Tversion, which is its answer but for the type
				hello[4]++
				conn.Write(append(hello[:n], 3, 0, 0, 0, 0, 0, 0))
				io.Copy(io.Discard, conn)
			}
			conn.Close()
		}
	})
	addr := ninep.Addr{Network: "unix", Address: socket}
	lines := new(lockedBuffer)
	log := slog.New(slog.NewTextHandler(lines, nil))
	for name, dial := range map[string]aggregate.Dialer{
		"a leaf":           Dialer(nil, addr, "n1", ninep.ClientConfig{Log: log}),
		"a foreign server": foreignDialer(func(ctx context.Context) (net.Conn, error) { return ninep.Dial(ctx, addr) }, config.Node{Name: "n1"}, log),
	} {
		for range 100 {
			up, err := dial(t.Context())
			if err != nil {
				continue // it fails as early as that for a dialect that was not asked for
			}
			<-up.Done()
			up.Close()
		}
		lines.mu.Lock()
		n := strings.Count(lines.b.String(), "\n")
		lines.b.Reset()
		lines.mu.Unlock()
		if n > 10 || n == 0 && name == "a leaf" {
			t.Errorf("%s: %d lines of 100 connections", name, n)
		}
	}
}
