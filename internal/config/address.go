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
// must be given. It may be "exec:COMMAND" too, a command that speaks 9P.
func CheckNodeAddress(address string) error {
	if isExec(address) {
		_, err := execWords(address, "node")
		return err
	}
	return check(address, false)
}

func isExec(address string) bool { return strings.HasPrefix(address, "exec:") }

// execWords are the words of the command in an exec: address for that node. They are what is
// between blanks, before the node's name is put in: no shell reads them, and so nothing is allowed
// that only means something to one.
func execWords(address, node string) ([]string, error) {
	if !isArgument(node) {
		return nil, fmt.Errorf("the name %q cannot be an argument of a command: it must begin with a letter or digit, and go on with those, \".\", \"_\" and \"-\"", node)
	}
	text := strings.TrimPrefix(address, "exec:")
	if at := strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune("'\"`$\\;&|<>*?", r) }); at >= 0 {
		return nil, fmt.Errorf("bad address %q: no shell reads the command, so that %q would be an argument as it is: put what needs one in a script", address, text[at:at+1])
	}
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil, fmt.Errorf("bad address %q: behind exec: there must be a command that speaks 9P, as in \"exec:ssh -o BatchMode=yes -- %%s procsrv --stdio\"", address)
	}
	if strings.Contains(words[0], "%") || strings.Contains(words[0], "/") && !path.IsAbs(words[0]) {
		return nil, fmt.Errorf("bad address %q: %q is no program: write its name or its absolute path", address, words[0])
	}
	for i, word := range words {
		words[i] = strings.ReplaceAll(word, "%s", node)
	}
	return words, nil
}

// isArgument reports whether a node's name is [A-Za-z0-9][A-Za-z0-9._-]*, which is no flag and
// nothing to a shell on the other side.
func isArgument(name string) bool {
	for i, r := range name {
		alnum := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		if !alnum && (i == 0 || !strings.ContainsRune("._-", r)) {
			return false
		}
	}
	return name != ""
}

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
	return fmt.Errorf("bad address %q: only addresses with unix:, tls: or tcp: in front are known, and exec: for nodes", address)
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
