package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/nsexec"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
)

// elsewhere puts the socket and the configuration of this machine's front end into a
// directory, which it returns.
func elsewhere(t *testing.T) string {
	t.Helper()
	t.Setenv(client.ServerVariable, "")
	dir, err := os.MkdirTemp("", "aggrfs") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	socket, config := defaultServer, installedConfig
	defaultServer, installedConfig = "unix:"+filepath.Join(dir, "s"), filepath.Join(dir, "aggrfs.yaml")
	t.Cleanup(func() {
		defaultServer, installedConfig = socket, config
		os.RemoveAll(dir)
	})
	return dir
}

// A ran is what came of a command line.
type ran struct {
	status      int
	out, stderr string
}

// run carries out a command line.
func runLine(t *testing.T, args ...string) ran {
	t.Helper()
	var out, stderr bytes.Buffer
	a := newApp()
	a.env.Stderr = &stderr
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	status := a.execute(ctx, args, &out)
	return ran{status, out.String(), stderr.String()}
}

// asking are the commands that want a server, and how they end without.
func asking(t *testing.T) map[string][]string {
	return map[string][]string{
		"nodes": {"nodes"}, "ps": {"ps"}, "ps of a user": {"ps", "-u", "root"}, "where": {"where", "n1:1"}, "whoami": {"whoami"},
		"exec": {"exec", "--", "true"}, "mount": {"mount", t.TempDir()}, "ps in JSON": {"ps", "--json"},
	}
}

// Where there is a cluster, no server is an error that names the socket and the remedy,
// and never this machine alone.
func TestNoServerIsNoAnswer(t *testing.T) {
	dir := elsewhere(t)
	socket := filepath.Join(dir, "s")
	for name, state := range map[string]struct {
		prepare func(t *testing.T)
		says    string
	}{
		"a configuration, and the server stopped": {func(t *testing.T) {
			if err := os.WriteFile(installedConfig, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "there is no such socket, and there is a configuration, " + installedConfig},
		"a socket that a killed server left": {func(t *testing.T) {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			l.SetUnlinkOnClose(false)
			l.Close()
		}, "connection refused"},
		"a file in place of the socket": {func(t *testing.T) {
			if err := os.WriteFile(socket, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "is no socket (a file): remove that file and start the server (systemctl start aggrfs), "},
		"a directory in place of the socket": {func(t *testing.T) {
			if err := os.Mkdir(socket, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "is no socket (a directory): remove that directory and start the server"},
		"a link to nothing": {func(t *testing.T) {
			if err := os.Symlink("nothing", socket); err != nil {
				t.Fatal(err)
			}
		}, "there is no such socket"},
		"a socket for datagrams": {func(t *testing.T) {
			c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
		}, "socket of another kind"},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				os.RemoveAll(socket)
				os.Remove(installedConfig)
			}()
			state.prepare(t)
			for name, line := range asking(t) {
				r := runLine(t, line...)
				want := exit.Unknown
				if name == "exec" {
					want = nsexec.CodeFailed
				}
				if r.status != want || r.out != "" || strings.Count(r.stderr, "\n") != 1 {
					t.Errorf("%s: %+v", name, r)
				}
				for _, part := range []string{"unix:" + socket, state.says, "--server"} {
					if !strings.Contains(r.stderr, part) {
						t.Errorf("%s does not say %q: %s", name, part, r.stderr)
					}
				}
				if !strings.Contains(state.says, "another kind") && !(strings.Contains(r.stderr, "systemctl start aggrfs") && strings.Contains(r.stderr, "--local")) {
					t.Errorf("%s names no remedy: %s", name, r.stderr)
				}
			}
		})
	}
}

// serving serves connections at a socket until the test ends.
func serving(t *testing.T, socket string, serve func(net.Conn)) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // until the client hangs up
				defer c.Close()
				serve(c)
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
}

// A socket at which something else is, or nobody answers, is told apart.
func TestOtherServers(t *testing.T) {
	socket := filepath.Join(elsewhere(t), "s")
	for name, what := range map[string]struct {
		serve func(net.Conn)
		says  string
	}{
		"another protocol": {func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n"); io.Copy(io.Discard, c) }, "does not speak as an aggrfs serve does"},
		"a hang-up":        {func(net.Conn) {}, "hung up (it closed the connection at the first message)"},
	} {
		t.Run(name, func(t *testing.T) {
			serving(t, socket, what.serve)
			for name, line := range asking(t) {
				if r := runLine(t, line...); r.status == 0 || r.status == exit.Failed || r.out != "" || !strings.Contains(r.stderr, what.says) || !strings.Contains(r.stderr, socket) {
					t.Errorf("%s: %+v", name, r)
				}
			}
		})
	}
	t.Run("a leaf", func(t *testing.T) {
		leaf, err := procfs9p.New(procfs9p.Config{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		addr := ninep.Addr{Network: "unix", Address: socket}
		l, err := (*ninep.TLS)(nil).Listen(t.Context(), addr, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		server := ninep.NewServer(ninep.ServerConfig{Tree: leaf, Identify: ninep.Trust{}.Identify, Log: slog.New(slog.DiscardHandler)})
		go func() { ended <- server.Serve(ctx, l) }()
		defer func() { cancel(); <-ended; leaf.Close() }()
		for _, line := range [][]string{{"ps"}, {"nodes"}, {"exec", "--", "true"}} {
			if r := runLine(t, line...); r.status == 0 || r.status == exit.Failed || r.out != "" || !strings.Contains(r.stderr, "no aggrfs serve") {
				t.Errorf("%v: %+v", line, r)
			}
		}
	})
	t.Run("one that hangs", func(t *testing.T) {
		l, err := net.Listen("unix", socket) // the kernel takes connections
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for _, line := range [][]string{{"ps", "-u", "root"}, {"exec", "--", "true"}} { // each at its deadline
			if r := runLine(t, line...); r.status == 0 || r.status == exit.Failed || r.out != "" || !strings.Contains(r.stderr, "does not answer") || !strings.Contains(r.stderr, "no file descriptors left (see its log)") || !strings.Contains(r.stderr, "systemctl restart aggrfs") {
				t.Errorf("%v: %+v", line, r)
			}
		}
	})
}

// The server that the environment names is asked where the command line names none, and whether it
// answers does not change that.
func TestServerOfTheEnvironment(t *testing.T) {
	dir := elsewhere(t)
	named := filepath.Join(dir, "named")
	t.Setenv(client.ServerVariable, "unix:"+named)
	for name, line := range asking(t) {
		if r := runLine(t, line...); r.status == 0 || r.status == exit.Failed || r.out != "" || !strings.Contains(r.stderr, named) || !strings.Contains(r.stderr, "there is no such socket") {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := runLine(t, "nodes", "--server", "unix:"+dir+"/other"); !strings.Contains(r.stderr, dir+"/other") {
		t.Errorf("with --server: %+v", r)
	}
	if r := runLine(t, "whoami", "--local"); r.status != 0 || r.stderr != "" {
		t.Errorf("with --local: %+v", r)
	}
	t.Setenv(client.ServerVariable, "here")
	if r := runLine(t, "nodes"); r.status != exit.Usage || !strings.Contains(r.stderr, client.ServerVariable+" in the environment") {
		t.Errorf("a wrong address: %+v", r)
	}
}

// This machine alone is what is asked for by --local, or what there is where there is no
// cluster, and is said then.
func TestThisMachineAlone(t *testing.T) {
	dir := elsewhere(t)
	const note = "aggrfs: no server and no configuration: this machine alone\n"
	// run carries out a command line, and again where a busy machine's processes could not be
	// read in time.
	run := func(line ...string) (r ran) {
		for end := time.Now().Add(time.Minute); ; {
			if r = runLine(t, line...); r.status != exit.Unknown || time.Now().After(end) {
				return r
			}
		}
	}
	for _, line := range [][]string{{"nodes"}, {"whoami"}, {"ps"}} {
		if r := run(line...); r.status != 0 || r.out == "" || r.stderr != note {
			t.Errorf("%v: %+v", line, r)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "aggrfs.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range [][]string{{"nodes", "--local"}, {"whoami", "--local"}, {"ps", "--local"}} {
		if r := run(line...); r.status != 0 || r.out == "" || r.stderr != "" {
			t.Errorf("%v: %+v", line, r)
		}
	}
	if r := runLine(t, "whoami", "--local"); !strings.Contains(r.out, "this machine alone") || strings.Contains(r.out, "administrator") {
		t.Errorf("%+v", r)
	}
	for _, flag := range []string{"--server=unix:/x", "--config=/x"} {
		if r := runLine(t, "ps", "--local", flag); r.status != exit.Usage || !strings.Contains(r.stderr, "local") {
			t.Errorf("%s: %+v", flag, r)
		}
	}
}

// A wrong command line has a status of its own, above all one with a variable that was
// not set.
func TestUsage(t *testing.T) {
	elsewhere(t)
	for _, line := range [][]string{
		{"ps", "--nodes", ""}, {"ps", "--nodes", "n1", "--nodes", " "}, {"ps", "-u", ""}, {"ps", "-p", ""}, {"nodes", "--server", ""}, {"exec", "--as", "", "--", "true"},
		{"ps", "--config", ""}, {"ps", "--nodes", "n["}, {"nodes", "--nosuch"}, {"nodes", "more"}, {"where"}, {"where", "x"}, {"nosuch"}, {"ps", "-u", "nobody-has-this-name"},
		{"ps", "--local", "--nodes", "nosuch"}, {"ps", "--local", "-x", hostname(t)}, {"ps", "zzz"}, {"ps", "--sort", "zzz"}, {"mount", "--type", "nfs", "/mnt"}, {"mount", "--nodes", ""},
	} {
		want := exit.Usage
		if line[0] == "exec" {
			want = nsexec.CodeFailed
		}
		if r := runLine(t, line...); r.status != want || r.out != "" || r.stderr == "" {
			t.Errorf("%q: %+v", line, r)
		}
	}
	r := runLine(t, "ps", "--nodes", "")
	if !strings.Contains(r.stderr, "unset variable") {
		t.Errorf("%+v", r)
	}
}

// hostname is the name of this machine's node where it is alone.
func hostname(t *testing.T) string {
	t.Helper()
	return strings.Fields(strings.Split(runLine(t, "nodes", "--local").out, "\n")[1])[0]
}
