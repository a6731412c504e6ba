package main

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// trust is what the flags say of whom this node believes.
func (o options) trust() (ninep.Trust, error) {
	t := ninep.Trust{FrontEnds: o.frontEnds, Insecure: o.insecure, Users: make(map[string]string)}
	if slices.Contains(o.frontEnds, "") {
		return t, errors.New("--front-end: give the name in a front end's certificate")
	}
	for _, s := range o.certificates {
		// A name may have a "=" in it, a user may not.
		at := strings.LastIndexByte(s, '=')
		if at < 1 || at == len(s)-1 {
			return t, fmt.Errorf("--certificate %q: write NAME=USER, the name in a certificate and a user of this node", s)
		}
		name, user := s[:at], s[at+1:]
		if n, err := strconv.ParseUint(user, 10, 64); err == nil && (n >= uint64(vfs.NoID) || n == uint64(vfs.OverflowID)) {
			return t, fmt.Errorf("--certificate %q: %s is no user's number", s, user)
		}
		if other, twice := t.Users[name]; twice && other != user {
			return t, fmt.Errorf("--certificate: %q is for the user %s and for %s", name, other, user)
		}
		t.Users[name] = user
	}
	return t, nil
}

// keys opens the certificate files that the flags name. It returns nil where no
// address needs them.
func (o options) keys(addrs []ninep.Addr, log *slog.Logger) (*ninep.TLS, error) {
	var missing []string
	for _, f := range []struct{ flag, value string }{
		{"--tls-cert", o.tls.Cert}, {"--tls-key", o.tls.Key}, {"--tls-ca", o.tls.CA},
	} {
		if f.value == "" {
			missing = append(missing, f.flag)
		}
	}
	needed := slices.ContainsFunc(addrs, func(a ninep.Addr) bool { return a.Network == "tls" })
	switch {
	case needed && len(missing) > 0:
		return nil, fmt.Errorf("a tls: address needs a certificate, its key and a CA: give %s", strings.Join(missing, ", "))
	case len(missing) > 0 && len(missing) < 3:
		return nil, fmt.Errorf("a certificate, its key and a CA belong together: give %s too", strings.Join(missing, ", "))
	case !needed && len(o.frontEnds)+len(o.certificates) > 0:
		return nil, errors.New("--front-end and --certificate are for tls: addresses, and there is none: give --listen tls:HOST:PORT")
	case !needed:
		return nil, nil
	case len(o.frontEnds)+len(o.certificates) == 0:
		log.Warn("nobody can attach over TLS: name front ends with --front-end, or users with --certificate")
	}
	keys, err := ninep.OpenTLS(o.tls, log)
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return keys, nil
}
