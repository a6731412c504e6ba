package ninep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lockTimeout  = 5 * time.Second       // for another process that is just starting on the same directory
	lockRetry    = 10 * time.Millisecond // between two tries at the lock
	probeTimeout = time.Second           // for a server that may still sit behind a socket
)

// Listen listens on a. For a unix socket it creates the parent directory (mode
// 0755), takes the place of a socket that nobody answers on, refuses where
// somebody does, and gives the socket mode's permission bits; at no moment is
// it more open than that. Closing the listener removes the socket. For TCP mode
// means nothing. For a tls: address see TLS.Listen.
func Listen(ctx context.Context, a Addr, mode os.FileMode) (net.Listener, error) {
	l, err := listen(ctx, a, mode.Perm())
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", a, err)
	}
	return l, nil
}

func listen(ctx context.Context, a Addr, mode os.FileMode) (net.Listener, error) {
	if a.Network == "tls" {
		return nil, errNoTLS
	}
	if a.Network != "unix" {
		var lc net.ListenConfig
		return lc.Listen(ctx, a.Network, a.Address)
	}
	dir := filepath.Dir(a.Address)
	if err := makeParent(dir); err != nil {
		return nil, err
	}
	// Two servers that start at once must not both find the same stale socket
	// and remove each other's new one: the directory is locked meanwhile.
	unlock, err := lockDir(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := removeStale(ctx, a.Address); err != nil {
		return nil, err
	}
	return bind(ctx, a.Address, mode)
}

// bind creates the socket. bind(2) gives the new file the mode of the socket's
// own inode less the umask, so the mode is set there first; what the umask took
// away is given back after.
func bind(ctx context.Context, path string, mode os.FileMode) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), uint32(mode)) }); cerr != nil {
			return cerr
		}
		return err
	}}
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	ul := l.(*net.UnixListener)
	ul.SetUnlinkOnClose(false)
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, ul.Close(), os.Remove(path))
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, errors.Join(err, ul.Close(), os.Remove(path))
	}
	return &unixListener{UnixListener: ul, path: path, info: info}, nil
}

// A unixListener removes its socket when it is closed, and only its own.
type unixListener struct {
	*net.UnixListener
	path string
	info fs.FileInfo
	once sync.Once
}

// Close closes the listener and removes the socket if it is still ours.
func (l *unixListener) Close() error {
	l.once.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.info) {
			os.Remove(l.path)
		}
	})
	return l.UnixListener.Close()
}

func makeParent(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755) // whatever the umask is
}

// lockDir holds flock(2) on the directory, which leaves no file behind.
func lockDir(ctx context.Context, dir string) (unlock func(), err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	for {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { unix.Close(fd) }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			unix.Close(fd)
			return nil, &fs.PathError{Op: "lock", Path: dir, Err: err}
		}
		select {
		case <-ctx.Done():
			unix.Close(fd)
			return nil, fmt.Errorf("another process holds the lock of %s: %w", dir, ctx.Err())
		case <-time.After(lockRetry):
		}
	}
}

// removeStale makes room for a new socket at path.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s exists and is no socket: remove it or choose another path", path)
	}
	d := net.Dialer{Timeout: probeTimeout}
	conn, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		conn.Close()
		return fmt.Errorf("a server answers on %s already: stop it or choose another path", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("cannot report whether a server answers on %s: %w", path, err)
	}
	return os.Remove(path)
}
