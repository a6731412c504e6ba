package config

import (
	"fmt"
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"
)

// maxSocketPath is the longest path of a socket in bytes: sun_path without its
// final zero, see unix(7).
const maxSocketPath = 107

// CheckAddress says what is wrong with an address to listen on:
// "unix:PATH" with an absolute path, or "tls:HOST:PORT" or "tcp:HOST:PORT", where
// an empty host is every address of this machine. Whether it can be had is not
// looked at.
func CheckAddress(address string) error { return check(address, true) }

// CheckNodeAddress is CheckAddress for an address to connect to, where the host
// must be given.
func CheckNodeAddress(address string) error { return check(address, false) }

func isTCP(address string) bool { return strings.HasPrefix(address, "tcp:") }

func isTLS(address string) bool { return strings.HasPrefix(address, "tls:") }

func check(address string, anyHost bool) error {
	network, rest, _ := strings.Cut(address, ":")
	switch network {
	case "unix":
		switch {
		case !path.IsAbs(rest) || strings.HasSuffix(rest, "/"):
			return fmt.Errorf("bad address %q: behind unix: there must be the absolute path of a socket", address)
		case len(rest) > maxSocketPath:
			return fmt.Errorf("bad address %q: the path has %d bytes, more than the %d of a socket", address, len(rest), maxSocketPath)
		case strings.ContainsFunc(rest, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return fmt.Errorf("bad address %q: the path has a control character", address)
		}
		return nil
	case "tls", "tcp":
		host, port, err := net.SplitHostPort(rest)
		if err != nil {
			return fmt.Errorf("bad address %q: behind %s: there must be HOST:PORT, with [] around an IPv6 address", address, network)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("bad address %q: %q is no port from 1 to 65535", address, port)
		}
		if host == "" && !anyHost {
			return fmt.Errorf("bad address %q: the host is missing", address)
		}
		if host != "" && !isHost(host) {
			return fmt.Errorf("bad address %q: %q is no host name and no IP address", address, host)
		}
		return nil
	}
	return fmt.Errorf("bad address %q: only addresses with unix:, tls: or tcp: in front are known", address)
}

// isHost reports whether s is an IP address or could be a host name (RFC 1123,
// and "_", which some use).
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	if len(s) > 253 || s == "" {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		bad := strings.ContainsFunc(label, func(r rune) bool {
			letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
			return !letter && r != '-' && r != '_'
		})
		if label == "" || len(label) > 63 || bad || strings.HasPrefix(label, "-") {
			return false
		}
	}
	return true
}

// checkPattern says what is wrong with the address of that many nodes.
func checkPattern(pattern string, nodes int) error {
	switch plain := strings.ReplaceAll(pattern, "%s", ""); {
	case strings.Contains(plain, "%"):
		return fmt.Errorf("bad address %q: %%s is the node's name; no other %% may be in it", pattern)
	case plain == pattern && nodes > 1:
		return fmt.Errorf("%q is one address for %d nodes; put %%s where their names belong", pattern, nodes)
	}
	return nil
}
