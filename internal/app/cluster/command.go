package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/aggrfs/aggrfs/internal/command"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/ninep"
)

// maxStarting is how many commands of exec: addresses may be on their way at once: started, and
// without an answer yet.
const maxStarting = 64

// commands start the commands of the nodes that are reached by one.
type commands struct {
	users    *userdb.DB
	starting *semaphore.Weighted
}

func newCommands(users *userdb.DB) *commands {
	return &commands{users: users, starting: semaphore.NewWeighted(maxStarting)}
}

// dial starts the command of n, which has until ctx ends to get its turn.
func (c *commands) dial(ctx context.Context, n config.Node) (net.Conn, error) {
	if err := c.starting.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("%d commands of nodes have no answer yet, and no more are started at once: %w", maxStarting, err)
	}
	conn, err := c.start(ctx, n)
	if err != nil {
		c.starting.Release(1)
		return nil, err
	}
	return &spoken{Conn: conn, node: n.Name, started: sync.OnceFunc(func() { c.starting.Release(1) })}, nil
}

// start starts the command of n. It runs as the user that is named, with no more of an environment
// than one needs; or as this process's user, with this process's; or as nobody where that is root.
func (c *commands) start(ctx context.Context, n config.Node) (*command.Conn, error) {
	program, err := exec.LookPath(n.Command[0])
	if err != nil {
		return nil, &command.Error{Argv: n.Command, Brief: "there is no such program here: " + err.Error()}
	}
	spec := command.Spec{Argv: append([]string{program}, n.Command[1:]...), Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "HOME=/"}}
	switch {
	case n.User != "":
		who, err := c.users.Identity(ctx, n.User)
		if err != nil {
			return nil, fmt.Errorf("the command's user %s: %w", n.User, err)
		}
		spec.User = &command.User{UID: who.UID, GID: who.GID, Groups: who.Groups}
		spec.Env = append(spec.Env, "USER="+n.User, "LOGNAME="+n.User)
	case os.Geteuid() != 0:
		spec.Env = os.Environ()
	}
	return command.Start(spec)
}

// A spoken connection is one to a command, whose errors say what is wrong with it.
type spoken struct {
	*command.Conn
	node    string
	started func() // called when the command has answered or ended

	head    []byte // what it printed first; for Read, and when that has returned
	checked bool   // that was 9P
}

// maxBanner is how much is shown of what is no 9P, in bytes, and restOfBanner how long what follows
// its beginning is waited for.
const (
	maxBanner    = 80
	restOfBanner = 100 * time.Millisecond
)

// Read implements net.Conn. What comes first must be the answer to Tversion: a shell that prints a
// greeting is told by that.
func (s *spoken) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	err = withRemedy(err)
	if s.checked || n == 0 {
		return n, err
	}
	s.head = append(s.head, p[:min(n, maxBanner)]...)
	if len(s.head) <= typeAt {
		return n, err
	}
	if !isAnswer(s.head[typeAt]) {
		_ = s.SetReadDeadline(time.Now().Add(restOfBanner))
		more := make([]byte, maxBanner)
		n, _ := s.Conn.Read(more) // for people alone
		s.head = append(s.head, more[:n]...)
		return 0, s.Gave(s.banner())
	}
	s.checked = true
	s.started()
	return n, err
}

// Write implements net.Conn.
func (s *spoken) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	return n, withRemedy(err)
}

// banner says that what came first is no 9P.
func (s *spoken) banner() string {
	return fmt.Sprintf("it printed \"%s\" before 9P: only procsrv --stdio may print there (a greeting of the shell, from ~/.bashrc say, is for terminals alone)", plaintext.Escape(string(s.head[:min(len(s.head), maxBanner)])))
}

// typeAt is where the type of a 9P message is, see intro(5) of Plan 9; isAnswer reports whether it
// is one that a server answers Tversion with: Rlerror, Rversion or Rerror.
const typeAt = 4

func isAnswer(typ byte) bool { return typ == 7 || typ == 101 || typ == 107 }

// Close implements net.Conn.
func (s *spoken) Close() error {
	err := s.Conn.Close()
	s.started()
	return err
}

// RemoteAddr implements net.Conn: the node's name.
func (s *spoken) RemoteAddr() net.Addr { return &net.UnixAddr{Net: "exec", Name: s.node} }

// noSuchProgram is the exit status of a shell, and of what takes its place, that does not find the
// command (POSIX, Shell Command Language, 2.8.2).
const noSuchProgram = "exited 127"

// withRemedy says what that means.
func withRemedy(err error) error {
	e := (*command.Error)(nil)
	if !errors.As(err, &e) || e.Brief != noSuchProgram {
		return err
	}
	more := *e
	more.Brief += ", which is that a program was not found there: install procsrv on the node, or write its whole path in the address"
	return &more
}

// explain says why no client could be made of conn. It names the command alone, if there is one.
func explain(ctx context.Context, conn net.Conn, err error) error {
	s, ok := conn.(*spoken)
	failed := (*command.Error)(nil)
	switch {
	case !ok:
		return err
	case errors.As(err, &failed):
		return failed
	case ctx.Err() != nil && len(s.head) > 0:
		return s.Gave(s.banner())
	case ctx.Err() != nil:
		return s.Gave("no answer within the time to connect (timeouts: connect)")
	}
	return err
}

// dialer opens connections to a node, or to the front end that it is behind.
func (p Parts) dialer(n config.Node, c *commands) (func(context.Context) (net.Conn, error), error) {
	if len(n.Command) > 0 {
		return func(ctx context.Context) (net.Conn, error) { return c.dial(ctx, n) }, nil
	}
	addr, err := ninep.ParseAddr(n.Address)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", n.Name, err)
	}
	name := n.Name // in its certificate
	if n.Behind {
		name = addr.Host()
	}
	return func(ctx context.Context) (net.Conn, error) { return p.Keys.Dial(ctx, addr, name) }, nil
}
