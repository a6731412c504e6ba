package certs

import (
	"crypto/x509"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/atomicfile"
)

func newCA(t *testing.T) *CA {
	t.Helper()
	ca, err := Init(filepath.Join(t.TempDir(), "ca"))
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func (ca *CA) path(name string) string { return filepath.Join(ca.dir, name) }

// certificate is what is in a file.
func certificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	data, err := readFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all, err := parseCertificates(path, data)
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

func TestInit(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0)) // modes are not the umask's doing
	ca := newCA(t)
	for name, mode := range map[string]fs.FileMode{"": fs.ModeDir | 0o700, "ca.crt": 0o644, "ca.key": 0o600} {
		if info, err := os.Lstat(ca.path(name)); err != nil || info.Mode() != mode {
			t.Errorf("%q: %v, %v; want %v", name, info.Mode(), err, mode)
		}
	}
	if years := time.Until(ca.Until()).Hours() / 24 / 365; years < 9.9 || years > 10.1 {
		t.Errorf("a life of %f years", years)
	}
	before, _ := os.ReadFile(ca.path("ca.key"))
	for _, lost := range []string{"", "ca.crt"} { // one file of a CA is enough to refuse
		if lost != "" {
			os.Rename(ca.path(lost), ca.path(lost+".away"))
		}
		if _, err := Init(ca.dir); err == nil || !strings.Contains(err.Error(), "exists") {
			t.Errorf("over a CA: %v", err)
		}
	}
	if after, _ := os.ReadFile(ca.path("ca.key")); string(after) != string(before) {
		t.Error("the key is another")
	}
	open := filepath.Join(t.TempDir(), "open")
	os.Mkdir(open, 0o770)
	if _, err := Init(open); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
		t.Errorf("in a directory of others: %v", err)
	}
	if _, err := OpenCA(open); err == nil || !strings.Contains(err.Error(), "certs init "+open) {
		t.Errorf("no CA: %v", err)
	}
}

// TestInitRace: of many who make a CA in one place, one does.
func TestInitRace(t *testing.T) {
	dir := t.TempDir()
	var work sync.WaitGroup
	won := make(chan *CA, 8)
	for range cap(won) {
		work.Go(func() {
			if ca, err := Init(dir); err == nil {
				won <- ca
			}
		})
	}
	work.Wait()
	if len(won) != 1 {
		t.Fatalf("%d have made a CA", len(won))
	}
	if _, err := OpenCA(dir); err != nil {
		t.Error(err)
	}
}

func TestIssue(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	ca := newCA(t)
	ca, err := OpenCA(ca.dir)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate(t, ca.path("ca.crt")))
	long := strings.Repeat("x", 200)
	for _, name := range []string{"n1", "n_1", "10.0.0.7", "a..b", "7", long, "n1"} { // the last renews
		until, err := ca.Issue(name, DefaultDays)
		if err != nil {
			t.Fatal(err)
		}
		c := certificate(t, ca.path(name+".crt"))
		if len(c.DNSNames) != 1 || Name(c) != name || len(c.IPAddresses) > 0 || c.IsCA {
			t.Errorf("%s: names %q", name, c.DNSNames)
		}
		if days := time.Until(c.NotAfter).Hours() / 24; days < 396 || days > 398 || c.NotAfter.Sub(until).Abs() > time.Second || time.Since(c.NotBefore) < 0 {
			t.Errorf("%s: from %v until %v", name, c.NotBefore, c.NotAfter)
		}
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
			if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for suffix, mode := range map[string]fs.FileMode{".crt": 0o644, ".key": 0o600} {
			if info, err := os.Lstat(ca.path(name + suffix)); err != nil || info.Mode() != mode {
				t.Errorf("%s%s: %v, %v", name, suffix, info.Mode(), err)
			}
		}
		if _, err := (Files{ca.path(name + ".crt"), ca.path(name + ".key"), ca.path("ca.crt")}).read(); err != nil {
			t.Error(err)
		}
	}
	entries, _ := os.ReadDir(ca.dir)
	if len(entries) != 2+2*6 {
		t.Errorf("files: %v", entries)
	}
}

// read reads and parses the files.
func (f Files) read() (*Set, error) {
	s := Store{files: f, log: discard}
	err := s.load()
	return s.set, err
}

func TestIssueRefusals(t *testing.T) {
	ca := newCA(t)
	for _, name := range []string{"", "ca", "..", "a/b", "../a", "n[1-2]", "a,b", "*.x", "a b", "-a", "a\x00", "é", strings.Repeat("x", 300)} {
		if _, err := ca.Issue(name, 1); err == nil || !strings.Contains(err.Error(), "cannot be the name") {
			t.Errorf("the name %.20q: %v", name, err)
		}
	}
	for _, days := range []int{0, -1, 3651, 1 << 30} {
		if _, err := ca.Issue("n1", days); err == nil || !strings.Contains(err.Error(), "from 1 to 36") {
			t.Errorf("%d days: %v", days, err)
		}
	}
	if _, err := ca.Issue("n1", 3649); err != nil {
		t.Error(err)
	}
	ca.cert.NotAfter = time.Now().Add(time.Hour)
	if _, err := ca.Issue("n1", 1); err == nil || !strings.Contains(err.Error(), "make a new one") {
		t.Errorf("a CA at its end: %v", err)
	}
	now := time.Now()
	for _, life := range [][2]time.Duration{{0, 2 * time.Hour}, {time.Minute, time.Minute}, {time.Minute, 0}} {
		if _, _, err := ca.Sign("n1", now.Add(life[0]), now.Add(life[1])); err == nil {
			t.Errorf("a life from %v to %v", life[0], life[1])
		}
	}
	os.Chmod(ca.path("ca.key"), 0o640)
	if _, err := OpenCA(ca.dir); err == nil || !strings.Contains(err.Error(), "chmod 600 "+ca.path("ca.key")) {
		t.Errorf("a key that others can read: %v", err)
	}
	os.Chmod(ca.path("ca.key"), 0o600)
	os.Chmod(ca.dir, 0o777)
	if _, err := OpenCA(ca.dir); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
		t.Errorf("a directory of others: %v", err)
	}
	os.Chmod(ca.dir, 0o700)
	for _, suffix := range []string{".crt", ".key"} {
		os.Rename(ca.path("n1"+suffix), ca.path("ca"+suffix))
	}
	if _, err := OpenCA(ca.dir); err == nil || !strings.Contains(err.Error(), "is no CA's") {
		t.Errorf("a node's certificate as CA: %v", err)
	}
}

// TestHalfWritten: what cannot be written whole leaves nothing. (That a key which is being
// written can be read by nobody else, package atomicfile shows.)
func TestHalfWritten(t *testing.T) {
	dir := t.TempDir()
	inTheWay := filepath.Join(dir, "n1.key")
	if err := os.Mkdir(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	err := writePair(dir, "n1", []byte("certificate"), []byte("key"), (*atomicfile.File).Replace)
	if left, _ := os.ReadDir(dir); err == nil || len(left) != 1 {
		t.Errorf("%v; left %v", err, left)
	}
}
