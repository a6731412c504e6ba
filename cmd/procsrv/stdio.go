package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/app/listen"
	"github.com/aggrfs/aggrfs/internal/privs"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// serveStdio serves one connection, which is in and out, until it ends or ctx does, neither
// of which is an error. It is whoever's started this program: see starter.
func serveStdio(ctx context.Context, o options, in, out *os.File, log *slog.Logger) (err error) {
	if os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid() {
		return errors.New("--stdio reads as who starts it, and must not be installed with a set-user-ID or set-group-ID bit")
	}
	for _, f := range []*os.File{in, out} {
		if err := checkTalks(f); err != nil {
			return err
		}
	}
	leaf, err := procfs9p.New(procfs9p.Config{Root: o.proc, Version: buildVersion(), Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leaf.Close()) }()
	// What the file of the program may give (capabilities(7)) is not for who starts it.
	var keep []privs.Want
	if os.Geteuid() == 0 {
		keep = privs.Leaf()
	}
	if err := o.confine(log, keep); err != nil {
		return err
	}
	near, far, err := socketPair()
	if err != nil {
		return err
	}
	defer far.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Neither is waited for: a read of what this program was started with cannot be broken off.
	go func() {
		_, _ = io.Copy(far, in) // the end of it, however it comes, is that of the connection
		_ = far.CloseWrite()
	}()
	go func() {
		_, _ = io.Copy(out, far)
		cancel()
	}()
	server := ninep.NewServer(ninep.ServerConfig{
		Tree: leaf, Identify: starter, Log: log, Payer: userdb.New(userdb.Config{}).Payer,
		Limits: ninep.Limits{Descriptors: listen.ForConnections(listen.DescriptorLimit(), 0)},
		Self:   map[string]string{"self": "1", "thread-self": "1/task/1"},
	})
	return server.Serve(ctx, &oneConn{conn: near, closed: make(chan struct{})})
}

// starter is the identity of an attach over standard input and output, at the other end of which
// is who started this program. Root may attach for any user, as over a socket. Anybody else has their
// own rights, whether they attach as themselves or as root (to a leaf that is this program's own rights,
// and those are theirs), and is no other user.
func starter(p ninep.Peer, c ninep.Claim) (vfs.Identity, error) {
	if p.HasCred && p.UID != 0 && (c.NUname == 0 || c.NUname == vfs.NoID) {
		return vfs.Root, nil
	}
	return ninep.ByCredentials(p, c)
}

// checkTalks refuses what nobody can be at the other end of.
func checkTalks(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("--stdio: %s: %w", f.Name(), err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO, unix.S_IFSOCK:
		return nil
	}
	return fmt.Errorf("--stdio: %s is neither a pipe nor a socket: 9P is spoken there with the aggrfs that starts this, as by the address \"exec:ssh -o BatchMode=yes -- %%s procsrv --stdio\"", f.Name())
}

// socketPair are two connected sockets. The peer of each is this process.
func socketPair() (near, far *net.UnixConn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		conn, failed := net.FileConn(f)
		err = errors.Join(err, failed, f.Close())
		ends[i], _ = conn.(*net.UnixConn)
	}
	return ends[0], ends[1], err
}

// A oneConn is a listener that one connection comes from.
type oneConn struct {
	conn   net.Conn // nil once it was accepted; for Accept alone
	closed chan struct{}
	once   sync.Once
}

// Accept implements net.Listener.
func (l *oneConn) Accept() (net.Conn, error) {
	if conn := l.conn; conn != nil {
		l.conn = nil
		return conn, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

// Close implements net.Listener.
func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Net: "unix", Name: "stdio"} }
