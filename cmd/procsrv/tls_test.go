package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/certs"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// issue makes certificates and returns what finds a name's files.
func issue(t *testing.T, names ...string) func(name string) ninep.TLSFiles {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	ca, err := certs.Init(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := ca.Issue(name, 30); err != nil {
			t.Fatal(err)
		}
	}
	return func(name string) ninep.TLSFiles {
		return ninep.TLSFiles{Cert: filepath.Join(dir, name+".crt"), Key: filepath.Join(dir, name+".key"), CA: filepath.Join(dir, "ca.crt")}
	}
}

func TestTLSRefusals(t *testing.T) {
	f := issue(t, "n1")("n1")
	open := filepath.Join(t.TempDir(), "open.key")
	key, _ := os.ReadFile(f.Key)
	if err := os.WriteFile(open, key, 0o644); err != nil {
		t.Fatal(err)
	}
	const tls = "--listen=tls:127.0.0.1:0"
	sock := "--listen=unix:" + filepath.Join(t.TempDir(), "s")
	all := []string{tls, "--tls-cert=" + f.Cert, "--tls-key=" + f.Key, "--tls-ca=" + f.CA}
	for _, c := range []struct {
		args []string
		want string // in the error
	}{
		{[]string{tls}, "give --tls-cert, --tls-key, --tls-ca"},
		{all[:3], "give --tls-ca"},
		{[]string{tls, "--insecure"}, "give --tls-cert"},
		{[]string{sock, all[1]}, "give --tls-key, --tls-ca too"},
		{[]string{sock, "--front-end=head"}, "there is none: give --listen tls:"},
		{[]string{sock, "--certificate=a=b"}, "there is none: give --listen tls:"},
		{append(all, "--front-end="), "--front-end: give the name"},
		{append(all, "--certificate=ann"), "write NAME=USER"},
		{append(all, "--certificate==ann"), "write NAME=USER"},
		{append(all, "--certificate=ann="), "write NAME=USER"},
		{append(all, "--certificate=ann=65534"), "no user's number"},
		{append(all, "--certificate=ann=4294967295"), "no user's number"},
		{append(all, "--certificate=ann=99999999999"), "no user's number"},
		{append(all, "--certificate=a=b", "--certificate=a=c"), `"a" is for the user b and for c`},
		{append(all, "--tls-key="+open), "chmod 600 " + open},
		{append(all, "--tls-key="+filepath.Join(filepath.Dir(f.Key), "ca.key")), "does not match"},
		{append(all, "--tls-ca="+f.Key), "no certificate"},
		{append(all, "--tls-cert=/none"), "/none: no such file"},
		{append(all, "--listen=tcp:127.0.0.1:0"), "use tls:HOST:PORT"},
		{append(all, "--listen=tls:here"), "missing port"},
	} {
		err := run(t.Context(), new(lines), c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q in it", c.args, err, c.want)
		}
	}
}

// TestThroughTLS reads a file of root's by certificates of several kinds.
func TestThroughTLS(t *testing.T) {
	files := issue(t, "n1", "head", "boss", "dan", "lost", "eve")
	ctx, cancel := context.WithCancel(t.Context())
	var log lines
	ended := make(chan error, 1)
	f := files("n1")
	go func() {
		ended <- run(ctx, &log, "--listen=tls:127.0.0.1:0", "--tls-cert="+f.Cert, "--tls-key="+f.Key, "--tls-ca="+f.CA,
			"--front-end=other", "--front-end=head", "--certificate=boss=root", "--certificate=dan=1", "--certificate=lost=nobody-of-that-name")
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	waitForLog(t, &log, "serving", 1)
	address := regexp.MustCompile(`listen=(tls:127\.0\.0\.1:\d+)`).FindStringSubmatch(log.String())
	if address == nil {
		t.Fatalf("no address: %s", log.String())
	}
	addr, err := ninep.ParseAddr(address[1])
	if err != nil {
		t.Fatal(err)
	}
	// read is what comes of reading this process's environment.
	read := func(cert string, own bool, who vfs.Identity) error {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		keys, err := ninep.OpenTLS(files(cert), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := keys.Dial(ctx, addr, "n1")
		if err != nil {
			t.Fatal(err)
		}
		client, err := ninep.NewClient(ctx, conn, ninep.ClientConfig{Own: own})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		root, err := client.Attach(ctx, who, "")
		if err != nil {
			return err
		}
		_, err = vfs.ReadFile(ctx, root.(vfs.Dir), 1<<20, strconv.Itoa(os.Getpid()), "environ")
		return err
	}
	ann := vfs.Identity{UID: 1001, GID: 1001, Groups: []uint32{7}}
	for i, tt := range []struct {
		cert string
		own  bool
		who  vfs.Identity
		want syscall.Errno
		line string // in the log
	}{
		{"head", false, vfs.Root, 0, `level=INFO msg="9P attach" peer="tls 127.0.0.1:\d+" uid=0 gid=0 groups=0 cert=head`},
		{"head", false, ann, syscall.EACCES, `"9P attach" .* uid=1001 gid=1001 groups=1 cert=head uname="\\"@1001:7\\""`},
		{"boss", true, vfs.Root, 0, `"9P attach" .* uid=0 gid=0 groups=\d+ cert=boss`},
		{"boss", false, ann, syscall.EPERM, `level=WARN msg="9P attach refused" .* cert=boss .* error=.*does not speak for users`},
		{"dan", true, vfs.Root, syscall.EACCES, `"9P attach" .* uid=1 gid=1 groups=0 cert=dan`},
		{"dan", false, vfs.Root, syscall.EPERM, `level=WARN msg="9P attach refused" .* cert=dan`},
		{"lost", true, vfs.Root, syscall.EACCES, `level=WARN msg="9P attach refused" .* cert=lost .* error=.*whom this machine does not have`},
		{"eve", true, vfs.Root, syscall.EACCES, `level=WARN msg="9P attach refused" .* cert=eve .* error=.*neither a front end's nor a user's`},
	} {
		if err := read(tt.cert, tt.own, tt.who); vfs.Errno(err) != tt.want {
			t.Errorf("%d, %s: %v, want %v", i, tt.cert, err, tt.want)
		}
		line, end := regexp.MustCompile(tt.line), time.Now().Add(20*time.Second) // it is there within a second
		for !line.MatchString(log.String()) && time.Now().Before(end) {
			time.Sleep(10 * time.Millisecond)
		}
		if !line.MatchString(log.String()) {
			t.Errorf("%d, %s: the log has no %s:\n%s", i, tt.cert, tt.line, log.String())
		}
	}
}
