package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aggrfs/aggrfs/internal/app/cluster"
	"github.com/aggrfs/aggrfs/internal/app/daemon"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lines collects the log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// output runs a command line and returns what it prints.
func output(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	a := newApp()
	a.env.Stderr = io.Discard
	cmd := a.command()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// newCA makes a CA and certificates as an admin does, and returns its directory.
func newCA(t *testing.T, names string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	for _, args := range [][]string{{"init", dir}, {"issue", "--dir", dir, names}} {
		if _, err := output(t, append([]string{"certs"}, args...)...); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func filesOf(dir, name string) ninep.TLSFiles {
	return ninep.TLSFiles{Cert: filepath.Join(dir, name+".crt"), Key: filepath.Join(dir, name+".key"), CA: filepath.Join(dir, "ca.crt")}
}

func TestCerts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	out, err := output(t, "certs", "init", dir)
	if err != nil || !strings.Contains(out, dir+"/ca.key can pass for any node") || !strings.Contains(out, "issue --dir "+dir) {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = output(t, "certs", "issue", "head,n[1-3]", "--dir", dir, "--days", "30")
	until := time.Now().AddDate(0, 0, 30).Format(time.DateOnly)
	if err != nil || !strings.Contains(out, until+": head,n[1-3]\n") || !strings.Contains(out, "Copy to each machine") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, name := range []string{"ca", "head", "n1", "n2", "n3"} {
		for suffix, mode := range map[string]os.FileMode{".crt": 0o644, ".key": 0o600} {
			if info, err := os.Stat(filepath.Join(dir, name+suffix)); err != nil || info.Mode() != mode {
				t.Errorf("%s%s: %v, %v", name, suffix, info, err)
			}
		}
	}
	for want, args := range map[string]string{
		"exists: a new CA would":                  "init " + dir,
		"no CA in " + dir + "/x":                  "issue n1 --dir " + dir + "/x",
		"bad nodeset":                             "issue n[1 --dir " + dir,
		"from 1 to 3649":                          "issue n1 --days 4000 --dir " + dir,
		"cannot be the name":                      "issue ca --dir " + dir,
		"done before it: a":                       "issue a,ca,d --dir " + dir,
		"accepts 1 arg(s)":                        "issue --dir " + dir,
		`invalid argument "x" for "--days"`:       "issue n1 --days x --dir " + dir,
		"accepts 1 arg(s), received 0":            "init",
		`unknown command "replace" for "aggrfs c`: "replace",
	} {
		if out, err := output(t, append([]string{"certs"}, strings.Fields(args)...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("certs %s: %v, want %s\n%s", args, err, want, out)
		}
	}
}

// TestLinkDocument runs what docs/link.md has an admin run, elsewhere than in /etc.
func TestLinkDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/link.md")
	if err != nil {
		t.Fatal(err)
	}
	etc := t.TempDir()
	ran := 0
	for line := range strings.Lines(string(text)) {
		if args, ok := strings.CutPrefix(line, "    aggrfs certs "); ok {
			args = strings.NewReplacer("'", "", "/etc/aggrfs", etc).Replace(args)
			if _, err := output(t, append([]string{"certs"}, strings.Fields(args)...)...); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			ran++
		}
	}
	if ran < 3 {
		t.Errorf("%d commands", ran)
	}
	for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
		yaml, _, _ := strings.Cut(block, "```")
		cfg, err := config.Parse("link.md", []byte(strings.ReplaceAll(yaml, "/etc/aggrfs/tls", etc+"/ca")))
		if err != nil {
			t.Fatal(err)
		}
		if cfg.TLS == (config.TLS{}) {
			continue
		}
		if keys, err := cluster.OpenKeys(cfg, slog.New(slog.DiscardHandler)); err != nil || keys.Name() != "head" {
			t.Errorf("%v", err)
		}
	}
}

// startLeaf serves this machine's /proc as the node n1, over TLS.
func startLeaf(t *testing.T, log *slog.Logger, files ninep.TLSFiles) (port string) {
	t.Helper()
	leaf, err := procfs9p.New(procfs9p.Config{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ninep.OpenTLS(files, log)
	if err != nil {
		t.Fatal(err)
	}
	l, err := keys.Listen(t.Context(), ninep.Addr{Network: "tls", Address: "127.0.0.1:0"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := ninep.NewServer(ninep.ServerConfig{Tree: leaf, Identify: ninep.Trust{FrontEnds: []string{"head"}}.Identify, Log: log})
	var work sync.WaitGroup
	work.Go(func() { server.Serve(ctx, l) })
	t.Cleanup(func() {
		cancel()
		work.Wait()
		leaf.Close()
	})
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// startHead serves the cluster of a configuration and returns the address of its
// second listener.
func startHead(t *testing.T, log *slog.Logger, text string) string {
	t.Helper()
	cfg, err := config.Parse("aggrfs.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen[1] = "tls:127.0.0.1:0"
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan []net.Listener, 1), make(chan error, 1)
	go func() {
		ended <- daemon.Serve(ctx, "", cfg, daemon.Options{Users: userdb.New(userdb.Config{}), Log: log, Ready: func(l []net.Listener) { ready <- l }})
	}()
	t.Cleanup(cancel)
	select {
	case l := <-ready:
		t.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		return "tls:" + l[1].Addr().String()
	case err := <-ended:
		t.Fatalf("it ended: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("it does not begin")
	}
	return ""
}

// TestClusterOverTLS has a node reached by its name, one that is another in truth,
// and a user from elsewhere.
func TestClusterOverTLS(t *testing.T) {
	var leafLog, headLog lines
	dir := newCA(t, "head,n1,ann,eve,top")
	port := startLeaf(t, slog.New(slog.NewTextHandler(&leafLog, nil)), filesOf(dir, "n1"))
	run := t.TempDir()
	f := filesOf(dir, "head")
	address := startHead(t, slog.New(slog.NewTextHandler(&headLog, nil)), fmt.Sprintf(`
version: 1
head: head
listen: ["unix:%[1]s/s", "tls:127.0.0.1:1"]
state: %[1]s/gpids.json
timeouts: {connect: 20s, read: 20s, sweep: 20s} # a busy machine may have thousands of processes
tls: {cert: %[2]s, key: %[3]s, ca: %[4]s}
certificates: {ann: daemon}
front_ends: [top]
views: [{users: ["*", "1001"], nodes: all, processes: own}, {certificates: [ann, top, other], nodes: all}]
nodes:
  - {nodes: n1, address: "tls:127.0.0.1:%[5]s"}
  - {nodes: n2, address: "tls:localhost:%[5]s"}
`, run, f.Cert, f.Key, f.CA, port))

	env := &newApp().env
	env.Log = slog.New(slog.DiscardHandler)
	// nodes is the table as "aggrfs nodes --server" shows it.
	nodes := func(cert string) (string, error) {
		src := source{Env: env, Server: address, ServerName: "head", TLS: filesOf(dir, cert)}
		tree, err := src.OpenTable(t.Context())
		if err != nil {
			return "", err
		}
		defer tree.Close()
		text, err := tree.Read(t.Context(), "cluster", "nodes")
		return string(text), err
	}
	want := regexp.MustCompile(`(?m)^n1 +1 +up .*\n^n2 +2 +down .*certificate is for \["n1"\], not for "n2"`)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		table, err := nodes("ann")
		if err != nil {
			t.Fatal(err)
		}
		if want.MatchString(table) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it never comes to %s:\n%s", want, table)
		}
	}
	// ps and whoami ask it as well; users are those that it knows.
	ask := func(cert string, args ...string) ran {
		f := filesOf(dir, cert)
		return runLine(t, append([]string{args[0], "--server", address, "--server-name", "head", "--tls-cert", f.Cert, "--tls-key", f.Key, "--tls-ca", f.CA}, args[1:]...)...)
	}
	if r := ask("ann", "whoami"); r.status != 0 || !strings.Contains(r.out, "daemon (1)") || !strings.Contains(r.out, "ann") {
		t.Errorf("whoami: %+v", r)
	}
	theirs := exec.Command("sleep", "1000")
	theirs.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1, Gid: 1}}
	if err := theirs.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { theirs.Process.Kill(); theirs.Wait() }()
	for _, user := range []string{"daemon", "1"} {
		r := ask("ann", "ps", "-u", user, "-o", "node,user,args")
		// A sweep that saw it before it was that user's is good for a second.
		for end := time.Now().Add(20 * time.Second); !strings.Contains(r.out, "\nn1   daemon sleep 1000\n") && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			r = ask("ann", "ps", "-u", user, "-o", "node,user,args")
		}
		if r.status != 0 || !strings.Contains(r.out, "\nn1   daemon sleep 1000\n") || !strings.Contains(r.stderr, "no answer from 1 of 3 nodes") {
			t.Errorf("ps -u %s: %+v", user, r)
		}
	}
	for _, user := range []string{"nobody-has-this-name", "root"} { // who has no process in the view
		if r := ask("ann", "ps", "-u", user); r.status != exit.Unknown || !strings.Contains(r.stderr, "the server knows no user") {
			t.Errorf("ps -u %s: %+v", user, r)
		}
	}
	if r := ask("ann", "ps", "--strict", "-x", "n2"); r.status != 0 || r.stderr != "" {
		t.Errorf("ps -x n2: %+v", r)
	}
	if _, err := nodes("eve"); err != nil { // nobody here, and shown what is about the cluster alone
		t.Errorf("a certificate of nobody: %v", err)
	}
	src := source{Env: env, Server: address, TLS: filesOf(dir, "ann")}
	if _, err := src.OpenTable(t.Context()); err == nil || !strings.Contains(err.Error(), `not for "127.0.0.1"`) {
		t.Errorf("without --server-name: %v", err)
	}
	if _, err := src.Open(t.Context(), "/proc"); err == nil || !strings.Contains(err.Error(), `not for "127.0.0.1"`) {
		t.Errorf("exec without --server-name: %v", err)
	}
	src.ServerName = "head"
	if mirror, err := src.Open(t.Context(), "/proc"); err != nil {
		t.Errorf("exec: %v", err)
	} else {
		whoami, err := mirror.Read(t.Context(), "cluster", "whoami")
		if err != nil || !strings.Contains(string(whoami), "certificate  ann") || !mirror.Remote || mirror.Served() || mirror.Gone() != 0 {
			t.Errorf("exec: %v\n%s", err, whoami)
		}
		if err := mirror.Close(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, &headLog, `"9P attach" peer="tls 127\.0\.0\.1:\d+" uid=1 gid=1 groups=0 cert=ann`)
	eventually(t, &headLog, `"9P attach" peer="tls 127\.0\.0\.1:\d+" uid=65534 gid=65534 groups=0 cert=eve`)
	eventually(t, &leafLog, `"9P attach" peer="tls 127\.0\.0\.1:\d+" uid=0 gid=0 groups=0 cert=head uname="\\"@0:\\"" n_uname=0`)

	// A front end above speaks for users; what this one reads for them, it reads
	// as them, groups and all.
	keys, err := ninep.OpenTLS(filesOf(dir, "top"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	addr, _ := ninep.ParseAddr(address)
	conn, err := keys.Dial(t.Context(), addr, "head")
	if err != nil {
		t.Fatal(err)
	}
	client, err := ninep.NewClient(t.Context(), conn, ninep.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	who := vfs.Identity{UID: 1001, GID: 2001, Groups: []uint32{7, 4242}}
	root, err := client.Attach(t.Context(), who, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vfs.ReadFile(t.Context(), root.(vfs.Dir), 1<<20, "nodes", "n1", "version"); err != nil {
		t.Error(err)
	}
	eventually(t, &leafLog, `"9P attach" .* uid=1001 gid=2001 groups=2 cert=head uname="\\"@2001:7,4242\\"" n_uname=1001`)
}

func eventually(t *testing.T, log *lines, expr string) {
	t.Helper()
	want := regexp.MustCompile(expr)
	for end := time.Now().Add(20 * time.Second); !want.MatchString(log.String()); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no line %s in\n%s", expr, log.String())
		}
	}
}
