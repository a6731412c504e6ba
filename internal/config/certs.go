package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/aggrfs/aggrfs/internal/config/strict"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// keys reads tls, which names all three files.
func (r *reader) keys(v strict.Value) {
	r.haveTLS = true
	t := &r.config.TLS
	seen := map[string]bool{}
	file := func(key string, into *string) func(strict.Value) {
		return func(v strict.Value) {
			seen[key] = true
			absolute(v, into)
		}
	}
	if !v.Fields(strict.Fields{"cert": file("cert", &t.Cert), "key": file("key", &t.Key), "ca": file("ca", &t.CA)}) {
		return
	}
	var missing []string
	for _, key := range []string{"cert", "key", "ca"} {
		if !seen[key] {
			missing = append(missing, key)
		}
	}
	if len(missing) > 0 {
		v.Fail("%s missing; a certificate, its key and a CA belong together", strings.Join(missing, ", "))
	}
}

// listensTLS tells whether anybody can show a certificate to this aggrfs.
func (r *reader) listensTLS() bool { return slices.ContainsFunc(r.config.Listen, isTLS) }

func (r *reader) frontEnds(v strict.Value) {
	r.byCert = append(r.byCert, v)
	v.List(func(v strict.Value) {
		name, ok := certName(v)
		switch {
		case !ok:
		case slices.Contains(r.config.FrontEnds, name):
			v.Fail("%s is listed twice", name)
		default:
			r.config.FrontEnds = append(r.config.FrontEnds, name)
		}
	})
}

func (r *reader) certificates(v strict.Value) {
	r.byCert = append(r.byCert, v)
	v.Entries("a certificate's name: user", func(key, v strict.Value) {
		name, ok := certName(key)
		user, ok2 := v.Text()
		switch {
		case !ok || !ok2:
		case !isUser(user):
			v.Fail("%q is no user's name or number", user)
		default:
			if r.config.Certificates == nil {
				r.config.Certificates = make(map[string]string)
			}
			r.config.Certificates[name] = user
			r.config.Mentions = append(r.config.Mentions, Mention{kind: aUser, name: user, at: v})
		}
	})
}

func certName(v strict.Value) (string, bool) {
	name, ok := v.Text()
	if ok && name == "" {
		v.Fail("a certificate's name is missing")
		return "", false
	}
	return name, ok
}

// isUser tells whether s can be a user: a number that is not one of those that
// stand for nobody, or a name that a user database can hold (passwd(5)).
func isUser(s string) bool {
	if strings.Trim(s, "0123456789") == "" {
		n, err := strconv.ParseUint(s, 10, 32)
		return err == nil && uint32(n) != vfs.OverflowID && uint32(n) != vfs.NoID
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == ':' || r == '/' || r == 0x7f })
}
