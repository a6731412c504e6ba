// Package listen opens the addresses of a daemon and serves a tree on them: what aggrfs serve
// and procsrv do alike.
package listen

import (
	"context"
	"errors"
	"net"
	"os"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/procfs9p/fdlimit"
)

// Listeners are the open addresses of a daemon.
type Listeners []net.Listener

// Open opens all addresses or none. mode is that of unix sockets; keys may be nil where there
// is no tls: address.
func Open(ctx context.Context, keys *ninep.TLS, addrs []ninep.Addr, mode os.FileMode) (Listeners, error) {
	all := make(Listeners, 0, len(addrs))
	for _, addr := range addrs {
		l, err := keys.Listen(ctx, addr, mode)
		if err != nil {
			return nil, errors.Join(err, all.Close())
		}
		all = append(all, l)
	}
	return all, nil
}

// Close closes all of them. Those that Serve has closed are no error.
func (l Listeners) Close() (err error) {
	for _, one := range l {
		if closed := one.Close(); !errors.Is(closed, net.ErrClosed) {
			err = errors.Join(err, closed)
		}
	}
	return err
}

// Serve serves on all of them until ctx ends, which is no error, or until one fails, which
// ends the others. One server for all has its limits for all.
func (l Listeners) Serve(ctx context.Context, server *ninep.Server) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, one := range l {
		group.Go(func() error { return server.Serve(ctx, one) })
	}
	return group.Wait()
}

// DescriptorLimit is how many file descriptors this process may have open; 0 is that it is not
// known.
func DescriptorLimit() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return limit.Cur
}

// ownDescriptors are for the files of a daemon, at most a quarter of what it may have.
const ownDescriptors = 256

// ForConnections is how many of limit descriptors are left for connections of clients besides
// taken ones and those of a leaf in the same process: at least 1, or 0 where limit is 0, which
// is that it is not known.
func ForConnections(limit, taken uint64) int {
	if limit == 0 {
		return 0
	}
	left := int64(min(limit, 1<<30)) - int64(taken) - int64(fdlimit.Total(limit)) - int64(min(limit/4, ownDescriptors))
	return int(max(left, 1))
}
