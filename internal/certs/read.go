package certs

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/trusted"
)

// maxFile is the longest file that is read, in bytes.
const maxFile = 1 << 20

// Name is whom a certificate is for: its first DNS name. Its subject's common name
// counts only where it has no subject alternative name of any kind (RFC 6125, section
// 6.4.4): a CA may check those and let who asks for a certificate choose the other. It
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
