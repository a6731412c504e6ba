package daemon

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/certs"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/test/wait"
)

// What is said of certificates, by the time that they have left.
func TestCertificateParts(t *testing.T) {
	now := time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	own := certs.State{Files: certs.Files{Cert: "/c", CA: "/ca"}, Name: "head", From: now.Add(-day), Until: now.Add(29 * day), CAUntil: now.Add(-day)}
	seen := map[string]ninep.Span{
		"n1": {From: now.Add(-day), Until: now.Add(31 * day)}, "n2": {From: now.Add(-day), Until: now.Add(30 * day)},
		"n3": {From: now.Add(-day), Until: now.Add(5 * day)}, "n4": {From: now.Add(-day), Until: now.Add(3 * day)},
		"n5": {From: now.Add(day), Until: now.Add(9 * day)}, "gate.example:1": {From: now.Add(-9 * day), Until: now.Add(-day)},
	}
	var got []string
	for _, p := range certificateParts(own, seen, now) {
		got = append(got, p.Name+" "+p.State+" "+p.Detail)
	}
	want := []string{
		"certificate ending /c, of head, ends 2026-12-28: renew it (aggrfs certs issue, or your CA)",
		"ca ended /ca, until 2026-11-28: put a new CA beside it in this file on every machine, then renew all certificates",
		"nodecerts ended gate.example:1, the first ended 2026-11-28: renew it, for others refuse it (aggrfs certs issue, or your CA)",
		"nodecerts early n5, the first is good from 2026-11-30T08:00:00Z only: others refuse it until then; or a clock is wrong",
		"nodecerts ending n[3-4], the first ends 2026-12-02: renew it (aggrfs certs issue, or your CA)",
		"nodecerts ok n[1-2], the first until 2026-12-29",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A node's certificate that is near its end is seen to have been renewed although the connection to the
// node goes on with the old one.
func TestAskForRenewed(t *testing.T) {
	dir := t.TempDir()
	ca, err := certs.Init(filepath.Join(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	issue := func(name string, days int) {
		t.Helper()
		if _, err := ca.Issue(name, days); err != nil {
			t.Fatal(err)
		}
	}
	file := func(name string) string { return filepath.Join(dir, "ca", name) }
	issue("head", 300)
	issue("n1", 3)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				pair, err := tls.LoadX509KeyPair(file("n1.crt"), file("n1.key"))
				if err != nil {
					t.Error(err)
					return
				}
				side := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pair}})
				if side.Handshake() == nil {
					_, _ = side.Read(make([]byte, 1)) // until it is hung up
				}
			})
		}
	})
	defer serving.Wait()
	defer l.Close()
	keys, err := ninep.OpenTLS(ninep.TLSFiles{Cert: file("head.crt"), Key: file("head.key"), CA: file("ca.crt")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Timeouts.Connect = wait.Patience
	cfg.Nodes = []config.Node{{Name: "n1", Address: "tls:" + l.Addr().String()}}
	addr, err := ninep.ParseAddr(cfg.Nodes[0].Address)
	if err != nil {
		t.Fatal(err)
	}
	life := func() certs.Life {
		span, ok := keys.Seen()["n1"]
		if !ok {
			t.Fatal("the node's certificate was not noted")
		}
		return certs.LifeOf(span.From, span.Until, time.Now())
	}
	conn, err := keys.Dial(context.Background(), addr, "n1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if is := life(); is != certs.Ending {
		t.Errorf("the node's certificate is %s", is)
	}
	issue("n1", 300)
	if askOnce(t.Context(), cfg, keys); life() != certs.Good {
		t.Errorf("renewed, it is %s", life())
	}
	l.Close()
	if askOnce(t.Context(), cfg, keys); life() != certs.Good {
		t.Errorf("it is forgotten: %s", life())
	}
}
