package config

import (
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/internal/config/strict"
)

// Intervals of metrics: what is usual, and what is allowed.
const (
	usualInterval    = 15 * time.Second
	shortestInterval = time.Second
	longestInterval  = time.Minute
)

// metrics reads metrics.
func (r *reader) metrics(v strict.Value) {
	m := &Metrics{Interval: usualInterval}
	var listen, names, certificates strict.Value
	haveListen, haveCertificates := false, false
	if !v.Fields(strict.Fields{
		"listen": func(v strict.Value) {
			listen, haveListen = v, true
			text, ok := v.Text()
			if !ok {
				return
			}
			if err := CheckAddress(text); err != nil {
				v.Fail("%v", err)
				return
			}
			m.Listen = text
		},
		"interval": func(v strict.Value) {
			switch d, ok := v.Duration(); {
			case !ok:
			case d < shortestInterval || d > longestInterval:
				v.Fail("an interval of %v; it is from %v to %v", d, shortestInterval, longestInterval)
			default:
				m.Interval = d
			}
		},
		"names": func(v strict.Value) {
			names = v
			m.Names, _ = v.Bool()
		},
		"certificates": func(v strict.Value) {
			certificates, haveCertificates = v, true
			v.List(func(v strict.Value) {
				name, ok := certName(v)
				switch {
				case !ok:
				case slices.Contains(m.Certificates, name):
					v.Fail("%s is listed twice", name)
				default:
					m.Certificates = append(m.Certificates, name)
				}
			})
		},
	}) {
		return
	}
	switch {
	case !haveListen:
		v.Fail("listen is missing; it says where Prometheus gets the metrics, such as \"tls:0.0.0.0:9741\"")
	case m.Listen == "":
		return // what is wrong with it has been said
	case isTLS(m.Listen) && len(m.Certificates) == 0:
		listen.Fail("nobody may come to a tls: address of metrics unless certificates names them; write \"certificates: [NAME]\", of the certificate that Prometheus shows")
	case !isTLS(m.Listen) && haveCertificates:
		certificates.Fail("nobody can show a certificate here: listen has no tls: in front")
	case m.Names && isTCP(m.Listen):
		names.Fail("names of users, jobs and commands are not for everybody; they need a unix: socket, or tls: with the names of the certificates that may come")
	default:
		r.note(m.Listen, listen)
		r.config.Metrics = m
	}
}
