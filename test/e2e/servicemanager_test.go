package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/wait"
)

// A manager is a service manager that hears what a daemon says of itself.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{t, conn, path}
}

// env is the environment of a daemon of this manager.
func (m *manager) env(more ...string) []string {
	return append(append(os.Environ(), "NOTIFY_SOCKET="+m.path), more...)
}

// hears waits until the daemon has said all of that, each as the beginning of a message, in
// that order.
func (m *manager) hears(all ...string) {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(wait.Patience)); err != nil {
		m.t.Fatal(err)
	}
	var heard []string
	buf := make([]byte, 4096)
	for len(all) > 0 {
		n, err := m.conn.Read(buf)
		if err != nil {
			m.t.Fatalf("%q is not heard: %v; heard: %q", all[0], err, heard)
		}
		heard = append(heard, string(buf[:n]))
		if strings.HasPrefix(string(buf[:n]), all[0]) {
			all = all[1:]
		}
	}
}

// start starts a daemon with an environment. Its end is waited for.
func (s *site) start(env []string, program string, args ...string) *exec.Cmd {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(bin, program), args...)
	cmd.Env, cmd.Stderr = env, s.log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return cmd
}

// A daemon says that it is ready when it knows its nodes, how they are, that it is alive, that it
// reloads, and that it stops.
func TestServiceManager(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "")
	s.stop()
	m := newManager(t)
	serve := s.start(m.env("WATCHDOG_USEC=2000000"), "aggrfs", "serve", "--config", s.config)
	m.hears("STATUS=nodes: 3 up", "READY=1")
	if out, err := s.aggrfs("nodes"); err != nil || strings.Count(out, " up ") != 3 {
		t.Errorf("it is ready, and %v:\n%s", err, out)
	}
	m.hears("WATCHDOG=1", "WATCHDOG=1")
	good, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config, append(good, "nodse: []\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	serve.Process.Signal(syscall.SIGHUP)
	m.hears("RELOADING=1\nMONOTONIC_USEC=", "READY=1")
	s.eventually("the log says what is wrong", func() bool { return strings.Contains(s.log.String(), "nodse") })
	if err := os.WriteFile(s.config, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.cluster.Nodes[0].KillLeaf(); err != nil {
		t.Fatal(err)
	}
	m.hears("STATUS=nodes missing: 2 up, 1 down")
	m.hears("WATCHDOG=1")
	serve.Process.Signal(syscall.SIGTERM)
	m.hears("STOPPING=1")
	if err := serve.Wait(); err != nil {
		t.Error(err)
	}
}

func TestServiceManagerOfLeaf(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	m := newManager(t)
	sock := filepath.Join(t.TempDir(), "leaf.sock")
	leaf := s.start(m.env("WATCHDOG_USEC=200000"), "procsrv", "--listen", "unix:"+sock)
	m.hears("READY=1", "WATCHDOG=1", "WATCHDOG=1")
	leaf.Process.Signal(syscall.SIGTERM)
	m.hears("STOPPING=1")
	if err := leaf.Wait(); err != nil {
		t.Error(err)
	}
}

// The configuration is checked without a daemon: with what is wrong, what is doubtful and, if that
// is asked for, which nodes are not reached.
func TestServeCheck(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "")
	check := func(args ...string) ending {
		return ends(t, append([]string{"serve", "--check", "--config", s.config}, args...)...)
	}
	if e := check("--connect"); e.status != 0 || e.stderr != "" || !strings.Contains(e.out, s.config+": good: 2 nodes and the head node head") {
		t.Errorf("%+v", e)
	}
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	write := func(more string) {
		t.Helper()
		if err := os.WriteFile(s.config, []byte(string(text)+more), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("  - {nodes: 'away[1-9]', address: 'unix:/nowhere/%s'}\n")
	if e := check(); e.status != 0 {
		t.Errorf("nothing was to be connected to: %+v", e)
	}
	if e := check("--connect"); e.status != 1 || !strings.Contains(e.out, "not reached: away[1-9]: connect: no such file or directory") ||
		!strings.Contains(e.stderr, "9 of 11 nodes are not reached") {
		t.Errorf("%+v", e)
	}
	for more, want := range map[string]string{
		"views: [{users: nobody-of-that-name, nodes: n1}]\n": "nobody-of-that-name",
	} {
		write(more)
		if e := check(); e.status != 0 || !strings.Contains(e.out, "warning: ") || !strings.Contains(e.out, want) {
			t.Errorf("%s: %+v", more, e)
		}
	}
	for more, want := range map[string]string{
		"nodse: []\n":                         "nodse",
		"policy: /nowhere/policy.yaml\n":      "/nowhere/policy.yaml",
		"tls: {cert: /no, key: /no, ca: /no}": "/no",
	} {
		write(more)
		if e := check(); e.status != 1 || !strings.Contains(e.stderr, want) || e.out != "" {
			t.Errorf("%s: %+v", more, e)
		}
	}
	if e := ends(t, "serve", "--connect"); e.status != 2 || !strings.Contains(e.stderr, "--check") {
		t.Errorf("%+v", e)
	}
	write("")
	if out, err := s.aggrfs("nodes"); err != nil || strings.Count(out, " up ") != 3 {
		t.Errorf("the daemon that runs is disturbed: %v\n%s", err, fmt.Sprint(out))
	}
}
