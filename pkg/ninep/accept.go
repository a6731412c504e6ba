package ninep

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/aggrfs/aggrfs/internal/lograte"
)

// ServeConn serves one connection until it or ctx ends, closes it, and returns
// when all its work has ended. The error is nil if the client just hung up or
// ctx ended; it has been logged.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) error {
	over := make(chan error, 1)
	s.begin(ctx, nc, func(err error) { over <- err })
	return <-over
}

// begin serves a connection and returns at once: a goroutine that would do no
// more than wait costs as much memory as the connection. over is called at the
// end, with what ServeConn returns.
func (s *Server) begin(ctx context.Context, nc net.Conn, over func(error)) {
	by := time.Now().Add(s.cfg.Limits.Negotiate)
	secured, isTLS := nc.(*tlsConn)
	peer, err := peerOf(nc), error(nil)
	if !isTLS {
		peer, err = PeerOf(nc)
	}
	s.conns.Add(1)
	place := &arrival{nc: nc}
	if err != nil {
		s.refuse(nc, peer, nil, place, err, over)
		return
	}
	if !s.cfg.Trusted(peer) {
		place = s.door.arrive(nc, peer)
	}
	switch {
	case isTLS:
		go func() {
			named, err := s.secure(ctx, secured, by)
			if err != nil {
				s.refuse(nc, peer, nil, place, err, over)
				return
			}
			s.receive(ctx, nc, named, place, by, over)
		}()
	case peer.Network == "tcp": // it is known when somebody attaches
		s.converse(ctx, nc, peer, place, s.payerOf(peer), by, over)
	case s.cfg.Payer != nil && peer.HasCred && peer.UID != 0: // who may take a while to find
		go s.receive(ctx, nc, peer, place, by, over)
	default:
		s.receive(ctx, nc, peer, place, by, over)
	}
}

// secure makes the handshake and says who is at the other end.
func (s *Server) secure(ctx context.Context, nc *tlsConn, by time.Time) (Peer, error) {
	if err := nc.secure(ctx, by); err != nil {
		return Peer{}, err
	}
	return PeerOf(nc)
}

// receive gives a connection whose peer is known its place, and serves it.
func (s *Server) receive(ctx context.Context, nc net.Conn, peer Peer, place *arrival, by time.Time, over func(error)) {
	payer := s.payerOf(peer)
	if err := s.door.admit(place, payer, s.cfg.Trusted(peer)); err != nil {
		s.refuse(nc, peer, payer, place, err, over)
		return
	}
	if unixConn, ok := nc.(*net.UnixConn); ok && s.cfg.Alternate != nil {
		go s.serveUnix(ctx, unixConn, peer, place, payer, by, over)
		return
	}
	s.converse(ctx, nc, peer, place, payer, by, over)
}

// refuse ends a connection before anything was asked of it. One that ended by
// itself, or with the server, is not worth a line. payer is nil while nobody knows who
// the peer is.
func (s *Server) refuse(nc net.Conn, peer Peer, payer *account, place *arrival, err error, over func(error)) {
	if place.out.Load() {
		err = errPutOut
	}
	if isHangUp(err) || errors.Is(err, context.Canceled) {
		err = nil
	} else {
		s.audit.refuse(peer, payer, err)
	}
	if closing := nc.Close(); !errors.Is(closing, net.ErrClosed) {
		err = errors.Join(err, closing)
	}
	s.door.leave(place)
	s.conns.Add(-1)
	over(err)
}

// converse begins to speak 9P with a peer; the first Tversion must come by then.
func (s *Server) converse(ctx context.Context, nc net.Conn, peer Peer, place *arrival, payer *account, by time.Time, over func(error)) {
	c := s.newConn(nc, peer, place, payer)
	failed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.fail(net.ErrClosed)
		close(failed)
	})
	c.begin(by, func(err error) {
		if !stop() {
			<-failed
		}
		err = s.verdict(peer, payer, place, err)
		s.door.leave(place)
		s.conns.Add(-1)
		over(err)
	})
}

// verdict logs why a connection ended, and tells what is an error of that.
func (s *Server) verdict(peer Peer, payer *account, place *arrival, err error) error {
	if place.out.Load() {
		err = errPutOut
	}
	if errors.Is(err, errPutOut) || errors.Is(err, errTooMany) || errors.Is(err, errTooManyOfPeer) {
		s.audit.refuse(peer, payer, err)
		return err
	}
	if isHangUp(err) {
		s.cfg.Log.Debug("9P connection ended", "peer", peer.String())
		return nil
	}
	err = explain(err)
	s.audit.warn(peer, payer, "9P connection ended by an error", slog.String("error", lograte.Cut(err.Error())))
	return err
}

// peerOf is what is known of a peer before it has said anything.
func peerOf(nc net.Conn) Peer {
	p := Peer{Network: nc.RemoteAddr().Network(), Addr: nc.RemoteAddr().String()}
	if _, ok := nc.(*tlsConn); ok {
		p.Network = "tls"
	}
	return p
}
