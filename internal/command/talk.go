package command

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Conn is the conversation with a command: what is written to it the command reads as its
// standard input, and what the command prints is read from it.
//
// The end of the command, with all that it started, is the end of the connection. Read and
// Write then say what became of it, as an [*Error], or io.EOF if it ended with status 0.
type Conn struct {
	net.Conn // a unix socket
	argv     []string
	sup      *supervisor
	errOut   Limited       // for wait alone until ended is closed
	ended    chan struct{} // closed when nothing of the command is left
	waited   error         // what wait returned; for when ended is closed
	closing  atomic.Bool
	once     sync.Once
}

// Start starts a command that is spoken with. It returns before the program is found, and may be called
// concurrently. See the package comment for what the command runs as. Closing the Conn ends
// it.
func Start(s Spec) (*Conn, error) {
	fail := func(err error) (*Conn, error) {
		return nil, &Error{Argv: s.Argv, Brief: err.Error()}
	}
	who := s.who()
	if err := mayBecome(who); err != nil {
		return fail(err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail(fmt.Errorf("socketpair: %w", err))
	}
	near, far := os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket")
	defer near.Close()
	defer far.Close()
	conn, err := net.FileConn(near)
	if err != nil {
		return fail(err)
	}
	sup, err := startSupervisor(order{s.Argv, s.Env, who}, far)
	if err != nil {
		conn.Close()
		return fail(fmt.Errorf("its supervisor cannot be started: %w", err))
	}
	c := &Conn{Conn: conn, argv: s.Argv, sup: sup, errOut: Limited{Max: maxComplaint}, ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		c.waited = sup.wait(&Limited{}, &c.errOut)
	}()
	return c, nil
}

// Read implements net.Conn. The error at the end of the command is what became of it.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.explain(err)
}

// Write implements net.Conn. The error at the end of the command is what became of it.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.explain(err)
}

// explain has what became of the command in place of err, if that is its end: it is a reset where the
// command has left something unread.
func (c *Conn) explain(err error) error {
	hungUp := err == io.EOF || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	if !hungUp || c.closing.Load() || !c.hasEnded() {
		return err
	}
	if e := c.end(); e != nil {
		return e
	}
	return io.EOF
}

// endTime is how long the end of a command is waited for that has been killed, or that has closed
// its output. It can be in a wait that the kernel does not break off.
const endTime = 2 * time.Second

// hasEnded reports whether nothing of the command is left, soon.
func (c *Conn) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	case <-time.After(endTime):
		return false
	}
}

// end is what became of a command that has ended; nil is that it ended with status 0.
func (c *Conn) end() error {
	brief := c.sup.brief(c.waited)
	if brief == "" {
		return nil
	}
	return &Error{Argv: c.argv, Brief: brief, Complaint: complaint(c.errOut.String())}
}

// Gave is an Error that says that, with what the command complained of. It closes the connection.
func (c *Conn) Gave(brief string) error {
	c.Close()
	e := &Error{Argv: c.argv, Brief: brief}
	if c.hasEnded() {
		e.Complaint = complaint(c.errOut.String())
	}
	return e
}

// Close ends the command and all that it started, and waits for that, not for longer than two
// seconds.
func (c *Conn) Close() error {
	c.once.Do(func() {
		c.closing.Store(true)
		c.Conn.Close()
		c.sup.stop()
	})
	c.hasEnded()
	return nil
}
