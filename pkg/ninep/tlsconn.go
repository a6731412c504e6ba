package ninep

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/aggrfs/aggrfs/internal/certs"
)

// A tlsConn is one side's end of a connection over TLS. It is no socket to a
// frameReader and an outbox: these go through Read and Write.
type tlsConn struct{ *tls.Conn }

// Close ends the connection without the farewell of TLS, for which it might have
// to wait: a 9P frame that was cut off shows, and between frames nothing is
// missing.
func (c *tlsConn) Close() error { return c.NetConn().Close() }

// A helloConn fails at once where what comes first is no TLS handshake. A frame of
// 9P can look like an alert of TLS whose rest is yet to come.
type helloConn struct {
	net.Conn
	begun bool // by what is read, which one goroutine does at a time
}

var (
	errNoHello   = errors.New("the client does not begin with a TLS handshake")
	errLateHello = errors.New("the client does not end its TLS handshake in time")
)

// Read implements net.Conn.
func (c *helloConn) Read(p []byte) (int, error) {
	const handshake = 22 // RFC 8446, section 5.1, ContentType
	n, err := c.Conn.Read(p)
	if !c.begun && n > 0 {
		if p[0] != handshake {
			return 0, errNoHello
		}
		c.begun = true
	}
	return n, err
}

// secure makes the server's part of the handshake.
func (c *tlsConn) secure(ctx context.Context, by time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, by)
	defer cancel()
	err := c.HandshakeContext(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return errLateHello
	}
	return explainTLS(err)
}

// cert is the name in the other side's certificate, which the handshake has
// verified.
func (c *tlsConn) cert() string {
	chain := c.ConnectionState().PeerCertificates
	if len(chain) == 0 {
		return ""
	}
	return certs.Name(chain[0])
}

// farewell is why the other side has hung up, where a write failed with err: one
// that refuses a certificate says so before it does.
func farewell(conn net.Conn, err error) error {
	c, ok := conn.(*tlsConn)
	if !ok {
		return err
	}
	if _, said := c.Read(make([]byte, 1)); isRemote(said) {
		return said
	}
	return err
}

// isRemote reports whether err is what the other side says is wrong, by a TLS alert.
func isRemote(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// explainTLS says what a bare error of a handshake means.
func explainTLS(err error) error {
	var unverified *tls.CertificateVerificationError
	var header tls.RecordHeaderError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unverified) && len(unverified.UnverifiedCertificates) > 0:
		return fmt.Errorf("the certificate that says it is for %q: %w", certs.Name(unverified.UnverifiedCertificates[0]), unverified.Err)
	case errors.As(err, &header):
		return fmt.Errorf("the other side does not speak TLS: %w", err)
	case isRemote(err):
		return fmt.Errorf("the other side refuses this one or its certificate: %w", err)
	}
	return err
}
