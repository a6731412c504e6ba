package ninep

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/certs"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
)

// A pki is a CA and where the files are that it makes.
type pki struct {
	*certs.CA
	t   testing.TB
	dir string
}

func newPKI(t testing.TB) *pki {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	ca, err := certs.Init(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &pki{ca, t, dir}
}

func (p *pki) file(name string) string { return filepath.Join(p.dir, name) }

func (p *pki) files(name string) TLSFiles {
	return TLSFiles{Cert: p.file(name + ".crt"), Key: p.file(name + ".key"), CA: p.file("ca.crt")}
}

// issue makes or renews a certificate, good for a while around now.
func (p *pki) issue(name string) TLSFiles {
	p.t.Helper()
	if _, err := p.Issue(name, 90); err != nil {
		p.t.Fatal(err)
	}
	return p.files(name)
}

// lived is a certificate with a life of its own, from and until so long from now.
func (p *pki) lived(name string, from, until time.Duration) TLSFiles {
	p.t.Helper()
	f := p.files(name)
	cert, key, err := p.Sign(name, time.Now().Add(from), time.Now().Add(until))
	if err == nil {
		err = os.WriteFile(f.Cert, cert, 0o600)
	}
	if err == nil {
		err = os.WriteFile(f.Key, key, 0o600)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

func (p *pki) open(name string) *side { return openSide(p.t, p.issue(name)) }

// A side is a TLS and what it logged.
type side struct {
	*TLS
	log *logLines
}

func openSide(t testing.TB, f TLSFiles) *side {
	t.Helper()
	lines, log := newLog()
	s, err := OpenTLS(f, log)
	if err != nil {
		t.Fatal(err)
	}
	return &side{s, lines}
}

func (s *side) dial(r *rig, a Addr, name string) net.Conn {
	r.t.Helper()
	conn, err := s.Dial(within(r.t), a, name)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

// serveTLS serves over TLS until the test ends.
func (r *rig) serveTLS(s *side) Addr {
	r.t.Helper()
	l, err := s.Listen(r.ctx, Addr{"tls", "127.0.0.1:0"}, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	return Addr{"tls", r.serveOn(l)}
}

// serveOn serves on l until the test ends, and returns its address.
func (r *rig) serveOn(l net.Listener) string {
	var work sync.WaitGroup
	work.Go(func() { r.Serve(r.ctx, l) })
	r.t.Cleanup(func() {
		l.Close()
		work.Wait()
	})
	return l.Addr().String()
}

// TestCertificates: a front end speaks for users, an ordinary certificate is who
// it is mapped to, another nobody.
func TestCertificates(t *testing.T) {
	tree := newSeen()
	lines := new(logLines)
	r := newRig(t, tree, func(cfg *ServerConfig) {
		cfg.Identify = Trust{FrontEnds: []string{"head"}, Users: map[string]string{"ann": "daemon"}}.Identify
		cfg.Audit = lines.all()
	})
	p := newPKI(t)
	addr := r.serveTLS(p.open("n1"))
	attach := func(cert string, cfg ClientConfig, who vfs.Identity) error {
		_, err := r.client(p.open(cert).dial(r, addr, "n1"), cfg).Attach(within(t), who, "")
		return err
	}
	daemon := vfs.Identity{UID: 1, GID: 1, Cert: "ann"}
	bob := vfs.Identity{UID: 1001, GID: 100, Groups: []uint32{7, 4242}}
	for i, tt := range []struct {
		cert string
		own  bool
		who  vfs.Identity
		want vfs.Identity
		err  error
	}{
		{"head", false, vfs.Root, vfs.Root, nil},
		{"head", false, bob, bob, nil},
		{"head", false, vfs.Identity{UID: vfs.OverflowID}, vfs.Identity{}, syscall.EPERM},
		{"head", true, vfs.Root, vfs.Identity{}, syscall.EACCES},
		{"ann", true, vfs.Root, daemon, nil},
		{"ann", false, vfs.Identity{UID: 1, GID: 0, Groups: []uint32{4}}, daemon, nil},
		{"ann", false, vfs.Root, vfs.Identity{}, syscall.EPERM},
		{"ann", false, bob, vfs.Identity{}, syscall.EPERM},
		{"eve", true, bob, vfs.Identity{}, syscall.EACCES},
		{"eve", false, vfs.Root, vfs.Identity{}, syscall.EACCES},
		{"n1", false, vfs.Root, vfs.Identity{}, syscall.EACCES}, // the node's own is no front end's
	} {
		if err := attach(tt.cert, ClientConfig{Own: tt.own}, tt.who); err != tt.err {
			t.Errorf("%d: %v, want %v", i, err, tt.err)
		}
		if tt.err == nil {
			tree.expect(t, tt.want)
		} else {
			tree.expect(t)
		}
	}
	r.audit.turn()
	log := lines.lines()
	for i, want := range map[int]string{
		1: `peer="tls 127.0.0.1:`, 4: `uid=1 gid=1 groups=0 cert=ann uname="\"\"" n_uname=4294967295`, 7: "level=WARN", 8: `cert=eve`, 9: "neither a front end's nor a user's",
	} {
		if len(log) != 11 || !strings.Contains(log[i], want) {
			t.Errorf("line %d of %d is %s; want %s in it", i, len(log), log[i], want)
		}
	}
	if logged := r.lines(); len(logged) > 0 {
		t.Errorf("logged: %q", logged)
	}
}

// TestTLSRefused has what must not come through, what who tries it is told, and the
// one line that the server logs.
func TestTLSRefused(t *testing.T) {
	const day = 24 * time.Hour
	p, foreign := newPKI(t), newPKI(t)
	head, node := p.issue("head"), p.issue("n1")
	mixed := func(pair TLSFiles, ca string) TLSFiles { pair.CA = ca; return pair }
	ours, theirs := p.file("ca.crt"), foreign.file("ca.crt")
	for name, tt := range map[string]struct {
		server TLSFiles
		client TLSFiles
		name   string // of the node, as the client has it
		told   string // in the client's error
		logged string // in the server's line
	}{
		"client expired":    {node, p.lived("old", -9*day, -day), "n1", "expired certificate", `is for \"old\": x509: certificate has expired`},
		"client too early":  {node, p.lived("new", day, 9*day), "n1", "expired certificate", `is for \"new\": x509: certificate has expired or is not yet valid`},
		"server expired":    {p.lived("n2", -9*day, -day), head, "n2", `is for "n2": x509: certificate has expired`, "the other side refuses"},
		"client of another": {node, mixed(foreign.issue("head"), ours), "n1", "unknown certificate authority", `is for \"head\": x509: certificate signed by unknown authority`},
		"server of another": {mixed(foreign.issue("n1"), ours), head, "n1", "signed by unknown authority", "the other side refuses"},
		"client's CA":       {node, mixed(head, theirs), "n1", "signed by unknown authority", "the other side refuses"},
		"wrong node":        {node, head, "n2", `its certificate is for ["n1"], not for "n2"`, "the other side refuses"},
		"no node":           {node, head, "", `not for ""`, "the other side refuses"},
		"the host's name":   {node, head, "127.0.0.1", `not for "127.0.0.1"`, "the other side refuses"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := newSeen()
			r := newRig(t, tree, byTrust(Trust{FrontEnds: []string{"head", "old", "new"}}))
			addr := r.serveTLS(openSide(t, tt.server))
			conn, err := openSide(t, tt.client).Dial(within(t), addr, tt.name)
			if err == nil {
				_, err = NewClient(within(t), conn, ClientConfig{})
			}
			if err == nil || !strings.Contains(err.Error(), tt.told) {
				t.Errorf("the client is told %v; want %s", err, tt.told)
			}
			r.refusedOnce(tt.logged)
			tree.expect(t)
		})
	}
}

// refusedOnce wants one line, which says why somebody of this machine was refused.
func (r *rig) refusedOnce(why string) {
	r.t.Helper()
	wait.Until(r.t, "a line", func() bool { return len(r.lines()) > 0 })
	wait.Until(r.t, "the end", func() bool { return r.conns.Load() == 0 })
	if lines := r.lines(); len(lines) != 1 || !strings.Contains(lines[0], `peer="tls 127.0.0.1:`) || !strings.Contains(lines[0], why) {
		r.t.Errorf("logged: %s\nwant %s", strings.Join(lines, "\n"), why)
	}
}

// TestTLSForeigners are clients that do not even try.
func TestTLSForeigners(t *testing.T) {
	p := newPKI(t)
	pair, err := tls.LoadX509KeyPair(p.issue("head").Cert, p.files("head").Key)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		talk   func(conn net.Conn) error // which must fail
		told   string
		logged string
	}{
		"no certificate": {talkTLS(&tls.Config{InsecureSkipVerify: true}), "certificate required", "didn't provide a certificate"},
		"TLS 1.2":        {talkTLS(&tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}), "protocol version", "unsupported versions"},
		"no TLS":         {talk9P, "9P connection to 127.0.0.1:", "does not begin with a TLS handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := newSeen()
			r := newRig(t, tree, byTrust(Trust{FrontEnds: []string{"head"}, Strangers: true, Insecure: true}))
			conn, err := net.Dial("tcp", r.serveTLS(p.open("n1")).Address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			if err := tt.talk(conn); err == nil || !strings.Contains(err.Error(), tt.told) {
				t.Errorf("the client is told %v; want %s", err, tt.told)
			}
			r.refusedOnce(tt.logged)
			tree.expect(t)
		})
	}
	t.Run("TLS where there is none", func(t *testing.T) {
		r := newRig(t, vfstest.NewTree(), byTrust(Trust{Insecure: true}))
		l, err := Listen(r.ctx, Addr{"tcp", "127.0.0.1:0"}, 0)
		if err != nil {
			t.Fatal(err)
		}
		addr := Addr{"tls", r.serveOn(l)}
		if _, err := p.open("head").Dial(within(t), addr, "n1"); err == nil || !strings.Contains(err.Error(), addr.String()) {
			t.Errorf("%v", err)
		}
	})
}

func talkTLS(cfg *tls.Config) func(net.Conn) error {
	return func(conn net.Conn) error {
		c := tls.Client(conn, cfg)
		err := c.Handshake()
		if err == nil { // in TLS 1.3 a client learns what became of it when it reads
			_, err = c.Read(make([]byte, 1))
		}
		return err
	}
}

func talk9P(conn net.Conn) error {
	_, err := NewClient(context.Background(), conn, ClientConfig{})
	return err
}

// TestNoTLS: who has no certificate is told before anything is sent.
func TestNoTLS(t *testing.T) {
	var none *TLS
	a := Addr{"tls", "127.0.0.1:1"}
	_, err := none.Listen(t.Context(), a, 0)
	_, err2 := none.Dial(t.Context(), a, "n1")
	_, err3 := Listen(t.Context(), a, 0)
	_, err4 := Dial(t.Context(), a)
	for i, err := range []error{err, err2, err3, err4} {
		if err == nil || !strings.Contains(err.Error(), "tls:127.0.0.1:1: tls needs a certificate") {
			t.Errorf("%d: %v", i, err)
		}
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := none.Listen(t.Context(), Addr{"unix", path}, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := none.Dial(t.Context(), Addr{"unix", path}, "")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	p := newPKI(t)
	f := p.issue("n1")
	os.Chmod(f.Key, 0o644)
	if _, err := OpenTLS(f, nil); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("chmod 600 %s", f.Key)) {
		t.Errorf("a key that others can read: %v", err)
	}
}
