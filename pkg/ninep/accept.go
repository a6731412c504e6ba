package ninep

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
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
	if n := s.conns.Add(1); n > int64(s.cfg.Limits.Connections) {
		err = fmt.Errorf("%w: %d", errTooMany, s.cfg.Limits.Connections)
	}
	if err == nil {
		err = s.peers.enter(peer.holder(), s.cfg.Limits.PeerConnections)
	}
	if err != nil {
		s.refuse(nc, peer, err, over)
		return
	}
	if !isTLS {
		s.converse(ctx, nc, peer, by, over)
		return
	}
	go func() {
		named, err := s.secure(ctx, secured, by)
		s.peers.leave(peer.holder())
		if err != nil {
			s.refuse(nc, peer, err, over)
			return
		}
		s.converse(ctx, nc, named, by, over)
	}()
}

// secure makes the handshake and counts the connection as that of the holder of
// the certificate.
func (s *Server) secure(ctx context.Context, nc *tlsConn, by time.Time) (Peer, error) {
	if err := nc.secure(ctx, by); err != nil {
		return Peer{}, err
	}
	peer, err := PeerOf(nc)
	if err == nil {
		err = s.peers.enter(peer.holder(), s.cfg.Limits.PeerConnections)
	}
	return peer, err
}

// refuse ends a connection before anything was asked of it. One that ended by
// itself, or with the server, is not worth a line.
func (s *Server) refuse(nc net.Conn, peer Peer, err error, over func(error)) {
	if isHangUp(err) || errors.Is(err, context.Canceled) {
		err = nil
	} else {
		s.audit.refuse(peer, "9P connection refused", err)
	}
	err = errors.Join(err, nc.Close())
	s.conns.Add(-1)
	over(err)
}

// converse begins to speak 9P with a peer that has been counted; the first Tversion
// must come by then.
func (s *Server) converse(ctx context.Context, nc net.Conn, peer Peer, by time.Time, over func(error)) {
	c := s.newConn(nc, peer)
	failed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.fail(net.ErrClosed)
		close(failed)
	})
	c.begin(by, func(err error) {
		if !stop() {
			<-failed
		}
		err = s.verdict(peer, err)
		s.peers.leave(peer.holder())
		s.conns.Add(-1)
		over(err)
	})
}

// verdict logs why a connection ended, and tells what is an error of that.
func (s *Server) verdict(peer Peer, err error) error {
	if isHangUp(err) {
		s.cfg.Log.Debug("9P connection ended", "peer", peer.String())
		return nil
	}
	err = explain(err)
	s.cfg.Log.Warn("9P connection ended by an error", "peer", peer.String(), "error", err)
	return err
}

var errTooMany = errors.New("more connections than there may be at once")
