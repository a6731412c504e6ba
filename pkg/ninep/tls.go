package ninep

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/internal/certs"
)

// TLSFiles are the PEM files of one side of a connection.
type TLSFiles struct {
	Cert string // its certificate, with those between it and the CA behind it
	Key  string // the certificate's private key, which only its owner can read
	CA   string // the CAs by which the other side is judged, one or more
}

// A TLS is what one side needs to speak mutual TLS, in either direction: both
// sides show a certificate, and neither goes on with one that its CAs did not
// sign. TLS is version 1.3 at least. Connections that are made after a file has
// changed are made with what it holds then, see package certs; those that there
// are go on.
//
// The nil TLS has no certificate: it is for addresses that need none.
type TLS struct {
	store *certs.Store

	mu   sync.Mutex
	seen map[string]Span // guarded by mu
}

// A Span is when a certificate is good.
type Span struct{ From, Until time.Time }

// OpenTLS reads the files. log is told when they are read again or cannot be.
func OpenTLS(files TLSFiles, log *slog.Logger) (*TLS, error) {
	store, err := certs.Open(certs.Files(files), log)
	if err != nil {
		return nil, err
	}
	return &TLS{store: store, seen: make(map[string]Span)}, nil
}

// State is how the files are.
func (t *TLS) State() certs.State { return t.store.State() }

// Follow logs, until ctx ends, when the certificate comes near its end, and when its files have
// changed. The nil TLS has none.
func (t *TLS) Follow(ctx context.Context) {
	if t != nil {
		t.store.Follow(ctx, followInterval)
	}
}

// followInterval is how often Follow looks.
const followInterval = time.Minute

// Seen is when the certificates are good that servers showed when they were last connected to, by
// the names that were asked for.
func (t *TLS) Seen() map[string]Span {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.seen)
}

// note notes the certificate of a server.
func (t *TLS) note(name string, c *x509.Certificate) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen[name] = Span{c.NotBefore, c.NotAfter}
}

// Name is whom this side's certificate is for.
func (t *TLS) Name() string { return t.store.Current().Name() }

// Ends are when this side's certificate ends, and the last of the CAs.
func (t *TLS) Ends() (certificate, ca time.Time) {
	set := t.store.Current()
	return set.Certificate.Leaf.NotAfter, set.CAUntil
}

// ServerConfig is for a server of another protocol than 9P with this side's certificate: a client must
// show one of those names.
func (t *TLS) ServerConfig(names []string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := serverConfig(t.store.Current())
			c.VerifyConnection = func(state tls.ConnectionState) error {
				if name := certs.Name(state.PeerCertificates[0]); name == "" || !slices.Contains(names, name) {
					return fmt.Errorf("the certificate is for %q, and only %q may come here", name, names)
				}
				return nil
			}
			return c, nil
		},
	}
}

var errNoTLS = errors.New("tls needs a certificate, its key and a CA, and none are given")

// Listen listens on a, see the function of that name. On a tls: address the
// connections that it accepts are secured by the Server that is given them, which
// does not hold up others by that.
func (t *TLS) Listen(ctx context.Context, a Addr, mode os.FileMode) (net.Listener, error) {
	if t == nil || a.Network != "tls" {
		return Listen(ctx, a, mode)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", a.Address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", a, err)
	}
	return &tlsListener{l, &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return serverConfig(t.store.Current()), nil
		},
	}}, nil
}

// A tlsListener accepts connections whose handshake is yet to come.
type tlsListener struct {
	net.Listener
	config *tls.Config
}

// Accept implements net.Listener.
func (l *tlsListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tlsConn{tls.Server(&helloConn{Conn: nc}, l.config)}, nil
}

func serverConfig(set *certs.Set) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{set.Certificate},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    set.CAs,
		// A ticket would let a client back in without its certificate being
		// looked at.
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if certs.Name(state.PeerCertificates[0]) == "" {
				return errors.New("the certificate names nobody: it has no DNS name, and no common name that counts")
			}
			return nil
		},
	}
}

// dialHandshake is how long a server may take for its part of a handshake.
const dialHandshake = 10 * time.Second

// Dial connects to a. On a tls: address the server's certificate must be for name,
// which need not be the host's: it is the node's, whatever machine or tunnel the
// address leads to. For other addresses name means nothing.
func (t *TLS) Dial(ctx context.Context, a Addr, name string) (net.Conn, error) {
	if t == nil || a.Network != "tls" {
		return Dial(ctx, a)
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", a.Address)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s at %s: %w", name, a, err)
	}
	ctx, cancel := context.WithTimeout(ctx, dialHandshake)
	defer cancel()
	c := &tlsConn{tls.Client(nc, clientConfig(t.store.Current(), name))}
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connecting to %s at %s: %w", name, a, explainTLS(err)), c.Close())
	}
	t.note(name, c.ConnectionState().PeerCertificates[0])
	return c, nil
}

func clientConfig(set *certs.Set, name string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: name,
		// Not for want of verification: VerifyConnection does what crypto/tls
		// would, but takes names that are no host's, and no wildcards for them.
		InsecureSkipVerify: true,
		VerifyConnection:   func(state tls.ConnectionState) error { return verifyServer(set, state.PeerCertificates, name) },
		// Whatever CAs the server says it knows: it shall see whom it refuses.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &set.Certificate, nil },
	}
}

// verifyServer checks a server's certificate, the first of chain, and that it is
// for name.
func verifyServer(set *certs.Set, chain []*x509.Certificate, name string) error {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	leaf := chain[0]
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: set.CAs, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	if name == "" || !slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, name) }) {
		return fmt.Errorf("its certificate is for %q, not for %q", leaf.DNSNames, name)
	}
	return nil
}
