// Package certs has the certificates with which the programs of a cluster know each
// other: it reads them, notices when they are renewed, and makes them for sites that
// have no certificate authority (CA) of their own.
//
// # Model
//
// A side of a connection has three PEM files ([Files]): its certificate with what
// is needed to trace it to a CA, the certificate's private key, and the CAs by
// which it judges the other side. A name, not an address, says whom a certificate
// is for ([Name]): a node by the name that it has in the configuration, a user or
// a front end by any name. A [Store] holds the files' content ([Set]) and reads
// them again when they have changed. A file that cannot be used changes nothing:
// what was read before it stays in force, and that is logged once.
//
// # Keys
//
// A private key that others than its owner can read is refused. Keys that are made
// here are never readable by others, not for a moment: a key is written to a new
// file of mode 0600, which then gets its name.
//
// # A CA
//
// A [CA] is a directory: ca.crt, which every machine has, ca.key, which none but
// this has, and NAME.crt and NAME.key for each name. A certificate names its holder
// as DNS name, is good for either side of a connection, and ends no later than its
// CA. Keys are ECDSA, P-256.
package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/filewatch"
	"github.com/aggrfs/aggrfs/internal/trusted"
)

// Files are the PEM files of one side.
type Files struct {
	Cert string // the certificate, with those between it and the CA behind it
	Key  string // its private key
	CA   string // the CAs by which the other side is judged, one or more
}

// A Set is the content of the files at one time. It never changes.
type Set struct {
	Certificate tls.Certificate // with Leaf
	CAs         *x509.CertPool
	CAEnd       time.Time // when the first of them ends
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

// Current is the content of the files now, or when they were last in order.
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
		if set.CAEnd.IsZero() || ca.NotAfter.Before(set.CAEnd) {
			set.CAEnd = ca.NotAfter
		}
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

// maxFile is the longest file that is read, in bytes.
const maxFile = 1 << 20

// Name is whom a certificate is for: its first DNS name. Its subject's common name
// counts only where it has no subject alternative name of any kind (RFC 6125, section
// 6.4.4): a CA may check those and let the applicant choose the other. It
// may be empty.
func Name(c *x509.Certificate) string {
	if len(c.DNSNames) > 0 {
		return c.DNSNames[0]
	}
	if hasAlternatives(c) {
		return ""
	}
	return c.Subject.CommonName
}

// subjectAltName is the extension that has them (RFC 5280, section 4.2.1.6).
var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

func hasAlternatives(c *x509.Certificate) bool {
	return len(c.EmailAddresses)+len(c.IPAddresses)+len(c.URIs) > 0 ||
		slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(subjectAltName) })
}

// readFile reads a certificate file.
func readFile(path string) ([]byte, error) { return trusted.ReadRegular(path, maxFile, nil) }

// readKey reads a file that only its owner can read, who is root or this user.
func readKey(path string) ([]byte, error) {
	return trusted.ReadRegular(path, maxFile, func(st unix.Stat_t) error {
		if mode := st.Mode & 0o777; mode&0o077 != 0 {
			return fmt.Errorf("the key %s can be read by others than its owner (its mode is %#o): chmod 600 %s", path, mode, path)
		}
		if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
			return fmt.Errorf("the key %s belongs to another user (uid %d), who can read it: chown it", path, st.Uid)
		}
		return nil
	})
}

// parseCertificates parses all certificates of a PEM file, whose name is path in
// messages. One that cannot be parsed, or is cut off, fails the whole.
func parseCertificates(path string, data []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %w", path, len(all)+1, err)
		}
		all = append(all, c)
	}
	switch {
	case bytes.Contains(data, []byte("-----BEGIN")):
		return nil, fmt.Errorf("%s is cut off or no PEM behind its first %d certificates", path, len(all))
	case len(all) == 0:
		return nil, fmt.Errorf("%s has no certificate (no PEM block of type CERTIFICATE)", path)
	}
	return all, nil
}
