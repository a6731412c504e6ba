package metrics

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/ninep"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve serves what a look sees and returns a function that connects.
func serve(t *testing.T, m *aggregate.Measures) func() net.Conn {
	t.Helper()
	store := cachepolicy.NewStore(cachepolicy.StoreConfig{Policy: cachepolicy.Default()})
	t.Cleanup(store.Close)
	s := New(Config{
		Version: "1", Interval: time.Hour, Look: func(context.Context, time.Duration) *aggregate.Measures { return m },
		Cache: store.Figures, Server: func() ninep.Stats { return ninep.Stats{Refusals: 3} },
		Allocations: func() *access.SourceState { return nil }, Log: slog.New(slog.DiscardHandler),
	})
	s.latest.Store(m)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// get is the answer to a request, to its end.
func get(c net.Conn, header string) string {
	io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n"+header+"\r\n")
	text, _ := io.ReadAll(c)
	return string(text)
}

// A scrape has what was seen, and the registry's checks pass.
func TestScrape(t *testing.T) {
	connect := serve(t, &aggregate.Measures{
		At: time.Now(), Nodes: []aggregate.NodeMeasures{{Name: "n1", Up: true}, {Name: "n2"}},
		Users: []aggregate.NameMeasures{{Name: "ann", CPU: 2, Procs: 1, RSS: 1}, {Name: "other"}},
	})
	text := get(connect(), "")
	for _, want := range []string{
		"HTTP/1.1 200", `aggrfs_node_up{node="n1"} 1`, `aggrfs_node_up{node="n2"} 0`, "aggrfs_refusals_total 3",
		`aggrfs_user_cpu_seconds_total{user="ann"} 2`, `aggrfs_user_resident_bytes{user="ann"} 1024`,
	} {
		if !strings.Contains(text, want+"\n") && !strings.HasPrefix(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

// Scrapers that hang are cut off, as are those beyond the bound and those with large headers, and then
// others are served.
func TestHungScrapers(t *testing.T) {
	connect := serve(t, &aggregate.Measures{})
	if text := get(connect(), "X: "+strings.Repeat("x", 64<<10)+"\r\n"); strings.Contains(text, "200 OK") {
		t.Errorf("64 KiB of headers: %.80s", text)
	}
	var hung []net.Conn
	for range 4 * maxConnections {
		hung = append(hung, connect())
	}
	for _, c := range hung {
		if _, err := io.ReadAll(c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Error(err)
		}
	}
	if text := get(connect(), ""); !strings.HasPrefix(text, "HTTP/1.1 200") {
		t.Errorf("after that: %.80s", text)
	}
}
