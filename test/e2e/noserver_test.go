package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/test/cluster"
)

// An ending is what came of a command.
type ending struct {
	status      int
	out, stderr string
}

// end runs a command to its end.
func end(t *testing.T, cmd *exec.Cmd) ending {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return ending{cmd.ProcessState.ExitCode(), out.String(), stderr.String()}
}

// ends runs aggrfs to its end.
func ends(t *testing.T, args ...string) ending {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return end(t, exec.CommandContext(ctx, filepath.Join(bin, "aggrfs"), args...))
}

// installs makes a configuration that the program finds by itself.
func installs(t *testing.T) {
	t.Helper()
	path := filepath.Join(bin, installedConfig)
	if err := os.WriteFile(path, []byte("version: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(path) })
}

// isDefault has the program find the site's front end by itself.
func (s *site) isDefault() {
	s.t.Helper()
	installs(s.t)
	link := filepath.Join(bin, defaultSocket)
	if err := os.Symlink(strings.TrimPrefix(s.server, "unix:"), link); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { os.Remove(link) })
}

// pid is the process of the site's front end.
func (s *site) pid() int {
	s.t.Helper()
	out := must(s.t, exec.Command("pgrep", "-f", "aggrfs serve --config "+s.config))
	pid := 0
	for _, c := range strings.TrimSpace(out) {
		pid = pid*10 + int(c-'0')
	}
	return pid
}

// stop ends the site's front end, until serve is called.
func (s *site) stop() {
	s.t.Helper()
	if err := syscall.Kill(s.pid(), syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("the server has gone", func() bool { return exec.Command("pgrep", "-f", "aggrfs serve --config "+s.config).Run() != nil })
}

// alone is what the program says where it shows this machine alone unasked.
const alone = "no server and no configuration: this machine alone"

// Without a server and without a configuration there is this machine alone, which is said;
// with a configuration only where it is asked for.
func TestNoServer(t *testing.T) {
	lines := map[string][]string{
		"nodes": {"nodes"}, "ps": {"ps"}, "where": {"where", "1"}, "whoami": {"whoami"}, "exec": {"exec", "--", "ps", "-e"}, "ps -u": {"ps", "-u", "root"},
	}
	for name, line := range lines {
		if e := ends(t, line...); e.status != 0 || e.out == "" || strings.Count(e.stderr, alone) != 1 {
			t.Errorf("%s without a cluster: %+v", name, e)
		}
	}
	installs(t)
	lines["mount"] = []string{"mount", t.TempDir()}
	lines["ps --strict"] = []string{"ps", "--strict", "-u", "nobody"}
	for name, line := range lines {
		want := 3
		if name == "exec" {
			want = 125
		}
		e := ends(t, line...)
		if e.status != want || e.out != "" || !strings.Contains(e.stderr, "no server answers at unix:"+filepath.Join(bin, defaultSocket)) || !strings.Contains(e.stderr, "--local") {
			t.Errorf("%s with a configuration: %+v", name, e)
		}
	}
	if e := ends(t, "exec", "--local", "--", "ps", "-e", "-o", "pid="); e.status != 0 || e.stderr != "" || !strings.Contains(e.out, " 1\n") || strings.Count(e.out, "\n") < 3 {
		t.Errorf("exec --local: %+v", e)
	}
	// An ordinary user is told so as well, and who they are.
	user := func(args ...string) ending {
		argv := append([]string{"--reuid", "1001", "--regid", "1001", "--clear-groups", filepath.Join(bin, "aggrfs")}, args...)
		return end(t, exec.Command("setpriv", argv...))
	}
	reachable(t, filepath.Join(bin, "aggrfs"))
	if e := user("whoami"); e.status != 3 || e.out != "" || !strings.Contains(e.stderr, "no server answers") {
		t.Errorf("a user's whoami: %+v", e)
	}
	if e := user("whoami", "--local"); e.status != 0 || !strings.Contains(e.out, "1001") || !strings.Contains(e.out, "this machine alone") ||
		strings.Contains(e.out, "root") || strings.Contains(e.out, "administrator") {
		t.Errorf("a user's whoami --local: %+v", e)
	}
}

// While a server restarts, hangs or is closed to somebody, nobody is told that there is
// nothing.
func TestServerAway(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	s.isDefault()
	answers := func() bool {
		e := ends(t, "ps", "-u", "1002")
		return e.status == 0 && strings.Contains(e.out, "solver")
	}
	if !answers() {
		t.Fatal("the server is not found by itself")
	}
	stopped := make(chan struct{})
	go func() { // which asks while the server goes and comes
		defer close(stopped)
		for range 40 {
			e := ends(t, "ps", "-u", "1002")
			if e.status == 0 && !strings.Contains(e.out, "n1 ") || e.status == 1 || e.status == 2 {
				t.Errorf("while the server restarts: %+v", e)
			}
		}
	}()
	s.stop()
	if e := ends(t, "ps", "-u", "1002"); e.status != 3 || e.out != "" {
		t.Errorf("without the server: %+v", e)
	}
	s.serve()
	<-stopped
	s.eventually("it is back", answers)

	pid := s.pid()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	e := ends(t, "ps", "-u", "1002")
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if e.status != 3 || e.out != "" || !strings.Contains(e.stderr, "does not answer") || !strings.Contains(e.stderr, "systemctl restart aggrfs") {
		t.Errorf("a server that hangs: %+v", e)
	}

	socket := strings.TrimPrefix(s.server, "unix:")
	reachable(t, filepath.Join(bin, "aggrfs"))
	reachable(t, socket)
	if err := os.Chmod(socket, 0o600); err != nil {
		t.Fatal(err)
	}
	e = end(t, exec.Command("setpriv", "--reuid", "1001", "--regid", "1001", "--clear-groups", filepath.Join(bin, "aggrfs"), "ps"))
	if e.status != 3 || e.out != "" || !strings.Contains(e.stderr, "you may not connect to") {
		t.Errorf("a socket that is closed to the user: %+v", e)
	}
}
