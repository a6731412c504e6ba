package ninep

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// An Addr is where a server listens: a unix socket's path or a TCP host and
// port, with TLS or without.
type Addr struct {
	Network string // "unix", "tls" or "tcp"
	Address string // a path, or HOST:PORT
}

// maxSocketPath is the longest path of a unix socket in bytes, see unix(7):
// sun_path has 108 with a NUL at the end.
const maxSocketPath = 107

// ParseAddr reads an address as it is written in a configuration:
// "unix:PATH", "tls:HOST:PORT" or "tcp:HOST:PORT".
func ParseAddr(s string) (Addr, error) {
	network, rest, ok := strings.Cut(s, ":")
	if !ok {
		return Addr{}, fmt.Errorf("address %q has no network: write unix:PATH, tls:HOST:PORT or tcp:HOST:PORT", s)
	}
	a := Addr{Network: network, Address: rest}
	switch network {
	case "unix":
		return a, checkPath(s, rest)
	case "tls", "tcp":
		return a, checkHostPort(s, rest)
	}
	return Addr{}, fmt.Errorf("address %q: unknown network %q: write unix:PATH, tls:HOST:PORT or tcp:HOST:PORT", s, network)
}

// Host is the host of an address on a network, by whose name its certificate is; it is "" for
// a unix socket.
func (a Addr) Host() string {
	host, _, err := net.SplitHostPort(a.Address)
	if err != nil || a.Network == "unix" {
		return ""
	}
	return host
}

func checkPath(s, path string) error {
	switch {
	case path == "":
		return fmt.Errorf("address %q has no path: write unix:PATH", s)
	case path[0] == '@':
		return fmt.Errorf("address %q is an abstract socket, which any local user can reach: write a path", s)
	case strings.IndexByte(path, 0) >= 0:
		return fmt.Errorf("address %q: a path has no NUL", s)
	case len(path) > maxSocketPath:
		return fmt.Errorf("address %q: the path has %d bytes, a unix socket's has at most %d: choose a shorter one",
			s, len(path), maxSocketPath)
	}
	return nil
}

func checkHostPort(s, hostPort string) error {
	_, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		var ae *net.AddrError
		if errors.As(err, &ae) {
			return fmt.Errorf("address %q: %s: write HOST:PORT, an IPv6 address in brackets", s, ae.Err)
		}
		return fmt.Errorf("address %q: %w", s, err)
	}
	if _, err := net.LookupPort("tcp", port); err != nil || port == "" {
		return fmt.Errorf("address %q: %q is no TCP port", s, port)
	}
	return nil
}

// String is the address as ParseAddr reads it.
func (a Addr) String() string { return a.Network + ":" + a.Address }

// Dial connects to a, which is no tls: address: see TLS.Dial. It ends when ctx
// does.
func Dial(ctx context.Context, a Addr) (net.Conn, error) {
	if a.Network == "tls" {
		return nil, fmt.Errorf("connecting to %s: %w", a, errNoTLS)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, a.Network, a.Address)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", a, err)
	}
	return conn, nil
}
