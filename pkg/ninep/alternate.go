package ninep

import (
	"context"
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// An Alternate is another protocol on the same unix sockets, told from 9P by how a
// connection begins.
type Alternate struct {
	// Magic is what the client sends first, at least magicSize bytes at once; the first of
	// them are no size that a frame may have.
	Magic string
	// Serve serves a connection of which nothing has been read yet, and returns when it is
	// over, soon after ctx ends. The connection is closed then.
	Serve func(ctx context.Context, conn *net.UnixConn, peer Peer)
}

// magicSize is how many bytes tell the protocols apart: those of a frame's size.
const magicSize = 4

// serveUnix serves a connection on a unix socket by the protocol that its client speaks. The
// first bytes must come by then.
func (s *Server) serveUnix(ctx context.Context, nc *net.UnixConn, peer Peer, place *arrival, payer *account, by time.Time, over func(error)) {
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	other, err := s.cfg.Alternate.begins(nc, by)
	if err == nil && other {
		s.serveOther(ctx, nc, peer)
	}
	stopped := stop()
	switch {
	case err != nil || !stopped:
		s.refuse(nc, peer, payer, place, errors.Join(err, context.Cause(ctx)), over)
	case other:
		nc.Close()
		s.door.leave(place)
		s.conns.Add(-1)
		over(nil)
	default:
		s.converse(ctx, nc, peer, place, payer, by, over)
	}
}

// serveOther serves a connection by the other protocol. A panic there is the end of that
// connection alone.
func (s *Server) serveOther(ctx context.Context, nc *net.UnixConn, peer Peer) {
	defer func() {
		if p := recover(); p != nil {
			s.logPanic(peer, p)
		}
	}()
	s.cfg.Alternate.Serve(ctx, nc, peer)
}

// begins reports whether a connection begins with Magic, and takes nothing off it: a
// descriptor may come with the first byte.
func (a *Alternate) begins(nc *net.UnixConn, by time.Time) (bool, error) {
	if err := nc.SetReadDeadline(by); err != nil {
		return false, err
	}
	raw, err := nc.SyscallConn()
	if err != nil {
		return false, err
	}
	var first [magicSize]byte
	var n int
	var peeked error
	err = raw.Read(func(fd uintptr) bool {
		n, _, peeked = unix.Recvfrom(int(fd), first[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return peeked != unix.EAGAIN && peeked != unix.EINTR
	})
	if err == nil {
		err = peeked
	}
	return err == nil && n == magicSize && string(first[:]) == a.Magic[:magicSize], err
}
