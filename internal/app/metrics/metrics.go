// Package metrics serves the figures of a front end and of its nodes to Prometheus.
//
// # Model
//
// A reader of the sampler looks at all nodes at an interval, whether anybody scrapes or not, and
// keeps what it has seen (see aggregate.Meter). A scrape is answered from that: it asks no node, and
// who scrapes often, slowly or not at all changes nothing for the nodes. How many series there are
// follows from the configuration: a fixed number for each node, and for names of users, jobs and
// commands at most so many each, the rest of which are under "other". docs/monitoring.md has the
// list; the form is the exposition format of Prometheus, text version 0.0.4 and OpenMetrics.
//
// # Who may scrape
//
// On a unix socket its owner and root (mode 0600); on a tls: address who shows a certificate of one
// of the names that the configuration has; on a tcp: address everybody, who gets no names.
//
// # Failure
//
// A connection has deadlines for its request and for its answer, is for one request, and there are at
// most maxConnections of them; who comes beyond is cut off at once.
package metrics

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/ninep"
)

// Limits of the listener.
const (
	maxConnections = 16
	maxHeader      = 8 << 10 // bytes
	requestTime    = 5 * time.Second
	answerTime     = 10 * time.Second
)

// Config is what a Server is made of.
type Config struct {
	Version  string
	Interval time.Duration // between two looks
	// Look looks at the nodes; it is called by one goroutine.
	Look func(context.Context, time.Duration) *aggregate.Measures
	// The next are asked at each scrape and answer at once.
	Cache       func() []cachepolicy.Figures
	Server      func() ninep.Stats
	Allocations func() *access.SourceState
	Keys        *ninep.TLS // nil is that there are no certificates
	Log         *slog.Logger
}

// A Server is a collector of metrics and its listener.
type Server struct {
	cfg    Config
	latest atomic.Pointer[aggregate.Measures] // nil until the first look has ended
	cache  cacheCounters
	http   http.Server
}

// New makes a server that does nothing yet.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelError), ErrorHandling: promhttp.HTTPErrorOnError,
		MaxRequestsInFlight: maxConnections, Timeout: requestTime, DisableCompression: false,
	}))
	s.http = http.Server{
		Handler: mux, ReadTimeout: requestTime, ReadHeaderTimeout: requestTime, WriteTimeout: answerTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // what a client does wrong is their matter
	}
	s.http.SetKeepAlivesEnabled(false)
	return s
}

// Serve serves on l until ctx ends, which is no error; it closes l. keys and names are for a tls:
// address; without names it is served as it is.
func (s *Server) Serve(ctx context.Context, l net.Listener, names []string) error {
	l = &bounded{Listener: l, slots: make(chan struct{}, maxConnections)}
	if len(names) > 0 {
		l = tls.NewListener(l, s.cfg.Keys.ServerConfig(names))
	}
	var work sync.WaitGroup
	defer work.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	work.Go(func() { s.look(ctx) })
	work.Go(func() {
		<-ctx.Done()
		s.http.Close()
	})
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// look looks at the nodes until ctx ends.
func (s *Server) look(ctx context.Context) {
	tick := time.NewTicker(s.cfg.Interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		if m := s.cfg.Look(ctx, s.cfg.Interval); ctx.Err() == nil {
			s.latest.Store(m)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// A bounded is a listener that cuts off connections for which there is no slot.
type bounded struct {
	net.Listener
	slots chan struct{}
}

// Accept implements net.Listener.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.slots <- struct{}{}:
			return &slotted{Conn: c, free: sync.OnceFunc(func() { <-b.slots })}, nil
		default:
			c.Close()
		}
	}
}

// A slotted is a connection that has a slot until it is closed.
type slotted struct {
	net.Conn
	free func()
}

// Close implements net.Conn.
func (c *slotted) Close() error {
	defer c.free()
	return c.Conn.Close()
}
