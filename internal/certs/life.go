package certs

import (
	"context"
	"crypto/x509"
	"log/slog"
	"time"
)

// Soon is how long before its end a certificate is warned of: what renews by itself has done so by then.
const Soon = 30 * 24 * time.Hour

// A Life is how a certificate stands with the time.
type Life string

// The lives of a certificate.
const (
	Good   Life = "ok"
	Early  Life = "early"  // not good yet
	Ending Life = "ending" // within Soon
	Ended  Life = "ended"
)

// LifeOf is that of a certificate with these times.
func LifeOf(from, until, now time.Time) Life {
	switch {
	case !now.Before(until):
		return Ended
	case now.Before(from):
		return Early
	case until.Sub(now) < Soon:
		return Ending
	}
	return Good
}

// A State is how the files of a store are.
type State struct {
	Files       Files
	Name        string    // whom the certificate is for
	From, Until time.Time // it is good
	CAUntil     time.Time // the last of the CAs is good
	Broken      string    // why what the files hold now is not in force; "" is that it is
}

// State reads the files if they have changed, and says how they are.
func (s *Store) State() State {
	set := s.Current()
	s.mu.Lock()
	defer s.mu.Unlock()
	leaf := set.Certificate.Leaf
	return State{Files: s.files, Name: Name(leaf), From: leaf.NotBefore, Until: leaf.NotAfter, CAUntil: set.CAUntil, Broken: s.broken}
}

// Follow looks at the files and the time until ctx ends, so that the log says what has become of
// either although nobody asks.
func (s *Store) Follow(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.Current()
		}
	}
}

// lives are what the log was last told of a store.
type lives struct{ leaf, ca Life }

// tellLocked logs how the certificate and the CA stand with the time, where that is not what was
// logged last; again is that the files were just read again, which is logged anyhow.
func (s *Store) tellLocked(now time.Time, again bool) {
	leaf := s.set.Certificate.Leaf
	is := lives{LifeOf(leaf.NotBefore, leaf.NotAfter, now), LifeOf(time.Time{}, s.set.CAUntil, now)}
	if is == s.told && !again {
		return
	}
	if is.leaf != s.told.leaf || again {
		logLeaf(s.log, s.files.Cert, leaf, is.leaf, again)
	}
	if is.ca != s.told.ca && is.ca != Good {
		s.log.Warn("the CA ends soon or has ended: certificates that it signed end with it; put a new one beside it in the file, then renew them", "file", s.files.CA, "until", s.set.CAUntil)
	}
	s.told = is
}

func logLeaf(log *slog.Logger, file string, leaf *x509.Certificate, life Life, again bool) {
	attrs := []any{"file", file, "name", Name(leaf), "until", leaf.NotAfter}
	switch {
	case life == Ended:
		log.Warn("the certificate has expired: others will refuse it", attrs...)
	case life == Early:
		log.Warn("the certificate is not good yet: others will refuse it, or this clock is wrong", append(attrs, "from", leaf.NotBefore)...)
	case life == Ending:
		log.Warn("the certificate ends soon: renew it", attrs...)
	case again:
		log.Info("certificate files read again", attrs...)
	}
}
