package certs

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// An Issued is a certificate in a CA's directory.
type Issued struct {
	Name        string // of its files
	From, Until time.Time
	Err         error // why the file cannot be used, or is not of this CA; nil if it can
}

// Issued are the certificates in the CA's directory, but its own, by name.
func (ca *CA) Issued() ([]Issued, error) {
	entries, err := os.ReadDir(ca.dir)
	if err != nil {
		return nil, err
	}
	var all []Issued
	for _, e := range entries {
		name, is := strings.CutSuffix(e.Name(), certFile)
		if !is || name == caName {
			continue
		}
		if i, isCA := ca.issued(name); !isCA {
			all = append(all, i)
		}
	}
	return all, nil
}

// issued is the certificate in the files of that name, if it is not another CA's.
func (ca *CA) issued(name string) (i Issued, isCA bool) {
	path := filepath.Join(ca.dir, name+certFile)
	i.Name = name
	text, err := readFile(path)
	if err != nil {
		i.Err = err
		return i, false
	}
	chain, err := parseCertificates(path, text)
	if err != nil {
		i.Err = err
		return i, false
	}
	leaf := chain[0]
	i.From, i.Until = leaf.NotBefore, leaf.NotAfter
	switch {
	case !bytes.Equal(leaf.RawIssuer, ca.cert.RawSubject) || leaf.CheckSignatureFrom(ca.cert) != nil:
		i.Err = fmt.Errorf("%s is not of the CA in %s", path, ca.dir)
	case Name(leaf) != name:
		i.Err = fmt.Errorf("%s is for %q", path, Name(leaf))
	}
	return i, leaf.IsCA
}

// spread is the part of a life by which it may be shorter, so that certificates which are renewed together
// do not all end together.
const spread = 10

// Renew makes a certificate anew that is good for that many days, or up to a tenth less, always the
// same for a name. It returns when it ends.
func (ca *CA) Renew(name string, days int) (time.Time, error) {
	if days < 1 {
		return time.Time{}, errors.New("a certificate is good for a day at least")
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return ca.Issue(name, days-int(h.Sum64()%uint64(days/spread+1)))
}
