package ninep

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aggrfs/aggrfs/internal/lograte"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// ServerConfig says what is served, and to whom.
type ServerConfig struct {
	Tree     vfs.Tree     // required
	Identify IdentifyFunc // required: who attaches
	Log      *slog.Logger // nil is slog.Default
	// Audit takes a line for each attach (Info) and for each refusal of an attach or
	// of a connection and each error of one (Warn), of which one peer gets ten at once
	// and six a minute, and a count of the others. Nil is Log.
	Audit *slog.Logger
	// Trusted says which peers have places in reserve (Limits.Reserve): those whose
	// loss would be everybody's. Nil is root on a unix socket.
	Trusted func(Peer) bool
	// Payer returns the account that a user's connections and memory count on, and
	// whether the user database has the user. For limits and nothing else a number that is subordinate to
	// a user (subuid(5)) is that user; all whom the database does not have share one
	// account, unless a front end speaks for them by its certificate. It answers
	// soon and may be called concurrently. Nil is that all are who they are.
	Payer func(uid uint32) (owner uint32, named bool)
	// Auth lets clients make fids by Tauth and write a credential to them, which is
	// then part of their Claim. Otherwise Tauth is refused.
	Auth   bool
	Limits Limits
	// Owners names a user and a group to clients that know them by name (9P2000).
	// It is asked for every entry of a listing, so it answers soon, from memory
	// most of the time; it may be called concurrently. Who is "" is shown by number, as all are where Owners is nil.
	Owners func(uid, gid uint32) (user, group string)
	// Self says what links at a root stand for to clients that know no links
	// (9P2000): the path of a directory of the same tree by the link's name, as in
	// "self": "1". A link whose path leads nowhere is a file like other links.
	Self map[string]string
	// Alternate is spoken on unix sockets besides 9P; nil is nothing.
	Alternate *Alternate
	// RequestTimeout is the deadline of each request: its context ends then, and
	// the client is answered ETIMEDOUT soon after whatever the tree does.
	// Default 30 s.
	RequestTimeout time.Duration
}

// A Server serves one tree on any number of connections.
type Server struct {
	cfg     ServerConfig
	values  context.Context // what requests' contexts take values from
	jobs    sync.Pool       // of *job
	conns   atomic.Int64    // connections being served
	panics  atomic.Int64
	door    door
	pollers pollers
	audit   *audit
	log     *slog.Logger // for what clients may cause and is no peer's, bounded by time

	accounts accounts
}

// NewServer returns a server that serves nothing yet.
func NewServer(cfg ServerConfig) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Audit == nil {
		cfg.Audit = cfg.Log
	}
	if cfg.RequestTimeout <= 0 {
		cfg.RequestTimeout = 30 * time.Second
	}
	if cfg.Trusted == nil {
		cfg.Trusted = func(p Peer) bool { return p.HasCred && p.UID == 0 }
	}
	cfg.Limits = cfg.Limits.withDefaults()
	s := &Server{cfg: cfg, log: lograte.ByMessage(cfg.Log), values: context.Background(), audit: newAudit(cfg.Audit)}
	s.door.limits, s.accounts.limits = &s.cfg.Limits, &s.cfg.Limits
	return s
}

// How long Serve waits after an Accept that failed for want of file descriptors
// or memory: from the first to the second, doubling.
const (
	acceptRetry    = 5 * time.Millisecond
	acceptRetryMax = time.Second
)

// Serve accepts connections from l and serves them until ctx ends or l is
// closed; it closes l and ends the connections, and returns when all their work
// has ended. The error is nil unless l failed. It may be called for several
// listeners at once.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var conns sync.WaitGroup
	defer s.audit.turn()
	defer conns.Wait()
	defer cancel()
	conns.Go(func() {
		<-ctx.Done()
		l.Close()
	})
	wait := acceptRetry
	for {
		nc, err := l.Accept()
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			if err == nil {
				nc.Close()
			}
			return nil
		case isTransient(err):
			s.log.Warn("accepting a 9P connection", "error", err, "retry", wait)
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
			wait = min(2*wait, acceptRetryMax)
		case err != nil:
			return err
		default:
			wait = acceptRetry
			conns.Add(1)
			s.begin(ctx, nc, func(error) { conns.Done() })
		}
	}
}

// isTransient reports whether another Accept may succeed: EMFILE, ECONNABORTED and
// their like are, in package net's words, temporary.
func isTransient(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// Stats is what a server does and has seen.
type Stats struct {
	Connections int64 // being served
	Panics      int64 // of the tree, each of which was EIO to one request
	Attaches    int64 // that were taken
	Refusals    int64 // of attaches and of connections
}

// Stats may be called at any time.
func (s *Server) Stats() Stats {
	return Stats{Connections: s.conns.Load(), Panics: s.panics.Load(), Attaches: s.audit.attaches.Load(), Refusals: s.audit.refusals.Load()}
}

// logPanic counts a panic and logs where it came from.
func (s *Server) logPanic(peer Peer, p any) {
	s.panics.Add(1)
	s.log.Error("panic in a 9P request", "peer", peer.String(), "panic", p, "stack", string(debug.Stack()))
}
