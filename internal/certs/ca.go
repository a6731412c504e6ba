package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/aggrfs/aggrfs/internal/atomicfile"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

const (
	// CALife is how long a new CA is good for.
	CALife = 10 * 365 * 24 * time.Hour
	// DefaultDays is how long a certificate is good for unless told otherwise.
	DefaultDays = 397
	// skew is how much a clock elsewhere may be behind this one.
	skew = time.Hour
)

// The names of a CA's files in its directory.
const (
	caName   = "ca"
	certFile = ".crt"
	keyFile  = ".key"
)

// A CA issues certificates into its directory.
type CA struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
}

// Init makes a CA in dir, which is made if need be. It refuses a directory that
// has one, or that others can write to.
func Init(dir string) (*CA, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	for _, suffix := range []string{certFile, keyFile} {
		path := filepath.Join(dir, caName+suffix)
		if _, err := os.Lstat(path); err == nil {
			return nil, fmt.Errorf("%s exists: a new CA would make everything that it issued worthless; move it away, or use another directory", path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	t := &x509.Certificate{
		// Two CAs never have the same name: what they signed would be mixed up.
		Subject:   pkix.Name{CommonName: "aggrfs CA " + rand.Text()[:8]},
		NotBefore: now.Add(-skew), NotAfter: now.Add(CALife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	certPEM, keyPEM, err := sign(t, t, key, key)
	if err != nil {
		return nil, err
	}
	if err := writePair(dir, caName, certPEM, keyPEM, (*atomicfile.File).Link); err != nil {
		return nil, err
	}
	return OpenCA(dir)
}

// OpenCA opens the CA in dir.
func OpenCA(dir string) (*CA, error) {
	certPath, keyPath := filepath.Join(dir, caName+certFile), filepath.Join(dir, caName+keyFile)
	certPEM, err := readFile(certPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no CA in %s: make one with \"aggrfs certs init %s\", or name its directory with --dir", dir, dir)
	}
	if err != nil {
		return nil, err
	}
	keyPEM, err := readKey(keyPath)
	if err != nil {
		return nil, err
	}
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", certPath, keyPath, err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%s is no CA's", certPath)
	}
	return &CA{dir: dir, cert: pair.Leaf, key: key}, nil
}

// Until is when the CA ends, and everything that it has issued with it.
func (ca *CA) Until() time.Time { return ca.cert.NotAfter }

// Issue makes a certificate and a key for name and puts them into the CA's
// directory, in place of earlier ones. It returns when the certificate ends.
func (ca *CA) Issue(name string, days int) (time.Time, error) {
	now := time.Now()
	until := now.AddDate(0, 0, days)
	if days < 1 || until.After(ca.Until()) {
		end := ca.Until().Format(time.DateOnly)
		left := int(ca.Until().Sub(now).Hours() / 24)
		if left < 1 {
			return time.Time{}, fmt.Errorf("the CA in %s ends on %s: make a new one in another directory", ca.dir, end)
		}
		return time.Time{}, fmt.Errorf("a certificate cannot be good for %d days: from 1 to %d can be had, for the CA ends on %s", days, left, end)
	}
	certPEM, keyPEM, err := ca.Sign(name, now.Add(-skew), until)
	if err != nil {
		return time.Time{}, err
	}
	return until, writePair(ca.dir, name, certPEM, keyPEM, (*atomicfile.File).Replace)
}

// Sign makes a certificate for name, in PEM, and its key.
func (ca *CA) Sign(name string, from, until time.Time) (certPEM, keyPEM []byte, err error) {
	if set, err := nodeset.Parse(name); err != nil || set.Len() != 1 || !set.Contains(name) || name == caName {
		return nil, nil, fmt.Errorf("%q cannot be the name of a certificate: it is made of letters, digits, \".\", \"_\" and \"-\", and is not %q", name, caName)
	}
	if !from.Before(until) || until.After(ca.Until()) {
		return nil, nil, fmt.Errorf("a certificate from %v until %v, and the CA ends on %v", from, until, ca.Until())
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		DNSNames: []string{name}, NotBefore: from, NotAfter: until, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if len(name) <= 64 { // RFC 5280, ub-common-name
		t.Subject.CommonName = name
	}
	return sign(t, ca.cert, key, ca.key)
}

// sign makes t a certificate of parent for key.
func sign(t, parent *x509.Certificate, key, parentKey crypto.Signer) (certPEM, keyPEM []byte, err error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), parentKey)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

// checkDir refuses a directory in which others could put files of their own in
// place of a CA's.
func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no directory", dir)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("others can write to the directory %s (its mode is %#o): chmod go-w %s", dir, mode, dir)
	}
	return nil
}

// writePair writes NAME.crt, for everybody, and NAME.key, for this user alone. Both are
// on disk before place gives either its name.
func writePair(dir, name string, certPEM, keyPEM []byte, place func(*atomicfile.File) error) error {
	var written []*atomicfile.File
	for _, one := range []struct {
		suffix  string
		content []byte
		perm    fs.FileMode
	}{{keyFile, keyPEM, 0o600}, {certFile, certPEM, 0o644}} {
		f, err := atomicfile.Create(filepath.Join(dir, name+one.suffix), one.perm)
		if err != nil {
			return err
		}
		defer f.Discard()
		if _, err := f.Write(one.content); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		written = append(written, f)
	}
	for _, f := range written {
		if err := place(f); err != nil {
			return err
		}
	}
	return nil
}
