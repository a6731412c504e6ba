package ninep

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/aggrfs/aggrfs/internal/lograte"
)

// ClientConfig says how a client talks. The zero value is good for a server of
// this package.
type ClientConfig struct {
	// Dialect is what is spoken: "9P2000.L", which is the default, or "9P2000".
	// In the latter an attach names no user by number: it is that of Uname, or of
	// whomever the server takes this connection for, and only root's is made
	// (EACCES), unless Own is set. There is no order in a directory; it is read
	// whole.
	Dialect string
	// Uname is the user's name in each attach of 9P2000. Default "none", which is
	// nobody to Plan 9.
	Uname string
	// Owners finds the numbers of a user and a group that a server of 9P2000 names;
	// who has none is vfs.OverflowID. It must not block and may be called
	// concurrently. Nil takes names that are numbers, and no others.
	Owners func(user, group string) (uid, gid uint32)
	// Msize is the largest frame asked for, in bytes. Default MaxMsize.
	Msize uint32
	// Log takes one line when the connection ends by an error, which a server can
	// cause at will: who connects again and again bounds them. Nil is slog.Default.
	Log *slog.Logger
	// InFlight is how many messages may wait for their answers; beyond that
	// calls wait. Keep it below the server's Limits.Requests. Default 512.
	InFlight int
	// Foreign is for a server that is not of this package: it need not carry
	// out the requests of one fid in order, nor fill an answer as long as there
	// is more. Requests are then sent one at a time, and attaches say no groups:
	// it might look such a uname up.
	Foreign bool
	// Own makes every attach that of the identity which the server has for this
	// connection by itself (its certificate's), whomever Attach is asked for.
	Own bool
	// Write is how long the server may leave a request unread before the
	// connection is given up. Default 10 s.
	Write time.Duration
	// Flush is how long the server may take to end a request that was flushed
	// before the connection is given up; it should be longer than the server's
	// deadline of a request. Default 40 s.
	Flush time.Duration
}

func (cfg ClientConfig) withDefaults() ClientConfig {
	if cfg.Msize == 0 || cfg.Msize > MaxMsize {
		cfg.Msize = MaxMsize
	}
	cfg.Msize = max(cfg.Msize, MinMsize)
	if cfg.Dialect == "" {
		cfg.Dialect = dotL{}.name()
	}
	if cfg.Uname == "" {
		cfg.Uname = "none"
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.InFlight <= 0 {
		cfg.InFlight = 512
	}
	cfg.InFlight = min(max(cfg.InFlight, 2*maxCalls), 1<<14)
	if cfg.Write <= 0 {
		cfg.Write = 10 * time.Second
	}
	if cfg.Flush <= 0 {
		cfg.Flush = 40 * time.Second
	}
	return cfg
}

// A Client is a connection to a server and what it serves as a tree. It does not
// reconnect: once Done is closed every call fails with an error that is EIO, and
// its nodes are of no more use.
//
// Goroutines: callers read their answers themselves, or one that is always there
// does (see role); one more lives for each call that was cancelled, until the
// server has answered it. Close waits for all. Lock order:
// none of mu, an exchange's mu and the outbox's lock is taken under another.
type Client struct {
	conn    net.Conn
	cfg     ClientConfig
	peer    string
	plain   bool // 9P2000 is spoken, not 9P2000.L
	msize   uint32
	in      *frameReader
	out     outbox
	free    sync.Pool // of *exchange
	slots   *semaphore.Weighted
	done    chan struct{}
	summons chan struct{} // holds one: the role is the receiver's
	polls   bool          // callers may wait for answers at the socket
	quick   atomic.Bool   // which is worth while: answers come soon
	workers sync.WaitGroup

	mu      sync.Mutex
	calls   []*call  // by tag; nil is a tag not in use
	tags    []uint16 // free ones below len(calls)
	fids    []uint32 // free ones below nextFid
	nextFid uint32
	garbage []uint32 // fids to clunk along with the next exchange
	clunks  int      // those under way that nobody waits for
	role    role     // who reads the answers
	led     uint     // how often a caller did
	err     error    // why the connection ended
	closing bool
}

// NewClient negotiates with the server at the other end of conn, which it owns
// from here on: it is closed if that fails. Negotiating ends when ctx does.
func NewClient(ctx context.Context, conn net.Conn, cfg ClientConfig) (*Client, error) {
	c := &Client{
		conn: conn, cfg: cfg.withDefaults(), peer: conn.RemoteAddr().String(),
		done: make(chan struct{}), summons: make(chan struct{}, 1), role: receiver,
	}
	c.plain = c.cfg.Dialect == plain{}.name()
	c.slots = semaphore.NewWeighted(int64(c.cfg.InFlight))
	c.in = newFrameReader(conn, &spare, c.cfg.Msize)
	c.polls = c.in.raw != nil && mostPollers() > 0
	c.out.init(conn, &spare, c.cfg.Write, c.fail)
	if err := c.negotiate(ctx); err != nil {
		c.in.release()
		return nil, errors.Join(&ConnError{Peer: c.peer, Err: err}, conn.Close())
	}
	c.workers.Go(c.receive)
	return c, nil
}

// Done is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err says why the connection ended; nil before it did.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection and all calls on it, and waits for the goroutines.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	c.fail(net.ErrClosed)
	c.workers.Wait()
	c.out.stop()
	return nil
}

// fail ends the connection: every call gets err.
func (c *Client) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = &ConnError{Peer: c.peer, Err: err}
	calls, quiet := c.calls, c.closing || isHangUp(err)
	c.calls, c.tags, c.garbage = nil, nil, nil
	c.summonLocked()
	for _, k := range calls {
		if k != nil {
			k.err = c.err
			c.settleLocked(k)
		}
	}
	c.mu.Unlock()
	c.conn.Close()
	c.out.fail(err)
	if quiet {
		c.cfg.Log.Debug("9P connection ended", "server", c.peer, "error", err)
	} else {
		c.cfg.Log.Warn("9P connection ended by an error", "server", c.peer, "error", lograte.Cut(err.Error()))
	}
	close(c.done)
}

// A ConnError is the end of a connection to a server. It is EIO.
type ConnError struct {
	Peer string // the server's address
	Err  error
}

func (e *ConnError) Error() string { return "9P connection to " + e.Peer + ": " + e.Err.Error() }

// Unwrap makes it an EIO first, whatever the cause was.
func (e *ConnError) Unwrap() []error { return []error{syscall.EIO, e.Err} }
