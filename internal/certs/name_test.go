package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"
)

// A common name counts in no certificate that has alternative names, of whatever kind.
func TestName(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 8, Bytes: []byte{0x2a, 3, 4}}}) // registeredID
	if err != nil {
		t.Fatal(err)
	}
	for what, tt := range map[string]struct {
		names x509.Certificate
		want  string
	}{
		"none":         {x509.Certificate{}, "head"},
		"DNS":          {x509.Certificate{DNSNames: []string{"n1", "n2"}}, "n1"},
		"address":      {x509.Certificate{IPAddresses: []net.IP{{10, 0, 0, 1}}}, ""},
		"mail":         {x509.Certificate{EmailAddresses: []string{"eve@example.org"}}, ""},
		"URI":          {x509.Certificate{URIs: []*url.URL{{Scheme: "spiffe", Host: "x", Path: "/eve"}}}, ""},
		"another kind": {x509.Certificate{ExtraExtensions: []pkix.Extension{{Id: subjectAltName, Value: other}}}, ""},
		"both":         {x509.Certificate{DNSNames: []string{"n1"}, EmailAddresses: []string{"eve@example.org"}}, "n1"},
	} {
		tt.names.SerialNumber, tt.names.Subject = big.NewInt(1), pkix.Name{CommonName: "head"}
		tt.names.NotAfter = time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, &tt.names, &tt.names, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if got := Name(c); got != tt.want {
			t.Errorf("%s: %q, not %q", what, got, tt.want)
		}
	}
}
