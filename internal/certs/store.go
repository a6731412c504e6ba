package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/internal/filewatch"
)

// Files are the PEM files of one side.
type Files struct {
	Cert string // the certificate, with those between it and the CA behind it
	Key  string // its private key
	CA   string // the CAs by which the other side is judged, one or more
}

// A Set is what the files held at one time. It never changes.
type Set struct {
	Certificate tls.Certificate // with Leaf
	CAs         *x509.CertPool
}

// Name is whom the certificate is for.
func (s *Set) Name() string { return Name(s.Certificate.Leaf) }

// A Store holds the content of files and reads them again when they change. It
// may be used concurrently.
type Store struct {
	files Files
	log   *slog.Logger

	mu     sync.Mutex
	watch  filewatch.Watch // guarded by mu, as the rest
	set    *Set            // in force
	raw    [3][]byte       // the content that set was made of
	broken string          // what was wrong with the files, if anything
}

// settleTime is longer than a tick of the coarsest clock of a file system.
const settleTime = 2 * time.Second

// soon is how long before its end a certificate is warned of.
const soon = 14 * 24 * time.Hour

// Open reads the files, all of which must be in order.
func Open(files Files, log *slog.Logger) (*Store, error) {
	s := &Store{files: files, log: log, watch: filewatch.Watch{Settle: settleTime}}
	if files.Cert == "" || files.Key == "" || files.CA == "" {
		return nil, errors.New("a certificate, its key and a CA belong together: name all three files")
	}
	s.changed()
	if err := s.load(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Store) changed() bool { return s.watch.Changed(s.files.Cert, s.files.Key, s.files.CA) }

// Current is what the files hold now, or held when they were last in order.
func (s *Store) Current() *Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed() {
		switch err := s.load(); {
		case err == nil:
			s.broken = ""
		case err.Error() != s.broken:
			s.broken = err.Error()
			s.log.Warn("certificate files cannot be used; what was read before stays in force", "error", err)
		}
	}
	return s.set
}

// load reads the files. Where that fails nothing changes.
func (s *Store) load() error {
	var raw [3][]byte
	var err error
	for i, read := range []func() ([]byte, error){
		func() ([]byte, error) { return readFile(s.files.Cert) },
		func() ([]byte, error) { return readKey(s.files.Key) },
		func() ([]byte, error) { return readFile(s.files.CA) },
	} {
		if raw[i], err = read(); err != nil {
			return err
		}
	}
	if s.set != nil && slices.EqualFunc(raw[:], s.raw[:], bytes.Equal) {
		return nil
	}
	set, err := s.files.parse(raw)
	if err != nil {
		return err
	}
	again := s.set != nil
	s.set, s.raw = set, raw
	s.logRead(again)
	return nil
}

func (f Files) parse(raw [3][]byte) (*Set, error) {
	if _, err := parseCertificates(f.Cert, raw[0]); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(raw[0], raw[1])
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	if Name(pair.Leaf) == "" {
		return nil, fmt.Errorf("certificate %s names nobody: it has no DNS name and no common name", f.Cert)
	}
	all, err := parseCertificates(f.CA, raw[2])
	if err != nil {
		return nil, err
	}
	set := &Set{Certificate: pair, CAs: x509.NewCertPool()}
	for _, ca := range all {
		set.CAs.AddCert(ca)
	}
	return set, nil
}

// logRead logs what was read, and what is wrong with its time.
func (s *Store) logRead(again bool) {
	leaf := s.set.Certificate.Leaf
	attrs := []any{"file", s.files.Cert, "name", Name(leaf), "until", leaf.NotAfter}
	switch left := time.Until(leaf.NotAfter); {
	case left <= 0:
		s.log.Warn("the certificate has expired: others will refuse it", attrs...)
	case time.Until(leaf.NotBefore) > 0:
		s.log.Warn("the certificate is not good yet: others will refuse it, or this clock is wrong", append(attrs, "from", leaf.NotBefore)...)
	case left < soon:
		s.log.Warn("the certificate ends soon: renew it", attrs...)
	case again:
		s.log.Info("certificate files read again", attrs...)
	}
}
