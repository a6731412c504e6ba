package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/test/cluster"
)

// dropped runs aggrfs as daemon (uid 1 of every user database) in a user namespace in
// which it has left its group and all others, as newuidmap(1) and newgidmap(1) let
// users do it.
func (s *site) dropped(args ...string) (string, error) {
	s.t.Helper()
	reachable(s.t, strings.TrimPrefix(s.server, "unix:"))
	reachable(s.t, filepath.Join(bin, "aggrfs"))
	all := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65534}}
	cmd := exec.Command("setpriv", append([]string{"--reuid=1", "--regid=2", "--clear-groups", filepath.Join(bin, "aggrfs")}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true,
	}
	return output(cmd)
}

// A view that restricts a group is for whom the user database has in it, whatever
// groups their process has left in a user namespace; "*" is for users of the database.
func TestDroppedGroup(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "views:\n  - {groups: daemon, nodes: n1, processes: own}\n  - {users: \"*\", nodes: all, processes: all}\n")
	if out, err := s.dropped("whoami", "--server", s.server); err != nil || !strings.Contains(out, "view for group daemon") || !strings.Contains(out, "2,1\n") || !strings.Contains(out, "1: n1\n") {
		t.Errorf("daemon without its groups: %v\n%s", err, out)
	}
	if out, err := s.dropped("nodes", "--server", s.server); err != nil || strings.Contains(out, "n2") {
		t.Errorf("daemon without its groups sees other nodes: %v\n%s", err, out)
	}
	bin := []string{"--reuid=2", "--regid=2", "--clear-groups", filepath.Join(bin, "aggrfs"), "whoami", "--server", s.server}
	if out, err := output(exec.Command("setpriv", bin...)); err != nil || !strings.Contains(out, "view for any user") {
		t.Errorf("bin: %v\n%s", err, out)
	}
	bin[0] = "--reuid=3987654321"
	if out, err := output(exec.Command("setpriv", bin...)); err != nil || !strings.Contains(out, "no view is for this user") {
		t.Errorf("a number without a name: %v\n%s", err, out)
	}
}

// Allocations of a command: an odd line costs itself, a failure leaves the last table
// and says how old it is, the command has no rights, and nothing of it is left.
func TestAllocationsOfCommand(t *testing.T) {
	dir, err := os.MkdirTemp("", "aggrfs-squeue-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	mark := fmt.Sprintf("8126.%d", os.Getpid())
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path+".new", []byte(text), mode), os.Chmod(path+".new", mode), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write("table", "1001 n1 2099-01-01T00:00:00\n", 0o644)
	write("squeue", "#!/bin/sh\nsetsid sh -c '(sleep "+mark+" &); sleep "+mark+"' </dev/null >/dev/null 2>&1 &\n"+
		"[ ! -e "+dir+"/fail ] || { echo 'no contact' >&2; exit 1; }\ncat "+dir+"/table\n", 0o755)
	s := newSite(t, cluster.Options{Nodes: 2}, "views: [{users: \"1001\", nodes: allocated}, {groups: opz, nodes: alocated}]\n"+
		"allocations: {command: ["+dir+"/squeue], user: daemon, interval: 100ms, timeout: 20s, max_age: 1h}\n")
	status := func() string {
		out, err := s.aggrfs("exec", "--", "cat", "/proc/cluster/status")
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	line := func(text, part string) string {
		for l := range strings.Lines(text) {
			if strings.HasPrefix(l, part) {
				return l
			}
		}
		return ""
	}
	whoami := func() string {
		out, err := s.asUser(alice, "whoami", "--server", s.server)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	s.eventually("n1 is allocated", func() bool { return strings.Contains(whoami(), "1: n1\n") })
	s.eventually("cluster/status is well", func() bool { return strings.Contains(line(status(), "allocations"), " ok ") })
	if l := line(status(), "configuration"); !strings.Contains(l, "doubtful") || !strings.Contains(l, `opz`) || !strings.Contains(l, "1 more") {
		t.Errorf("what is mistyped: %q", l)
	}
	if !strings.Contains(s.log.String(), `did you mean \"allocated\"?`) {
		t.Errorf("what is mistyped is not logged:\n%s", s.log)
	}
	write("table", "USER NODELIST END_TIME\n1001 (null) N/A\n1001 n2 2099-01-01T00:00:00\nbob n[1- 16:00:00\n1001 n1 16:00:00\n", 0o644)
	s.eventually("odd lines cost themselves", func() bool { return strings.Contains(whoami(), "1: n2\n") })
	if text := whoami(); !strings.Contains(line(text, "allocations"), "3 lines not understood, the first line 1") || strings.Contains(text, "bob") {
		t.Errorf("whoami:\n%s", text)
	}
	if l := line(status(), "allocations"); !strings.Contains(l, "mistakes") || strings.Contains(l, " ok ") || !strings.Contains(l, `the first line 1 "USER NODELIST END_TIME": `) {
		t.Errorf("status: %q", l)
	}
	write("fail", "", 0o644)
	s.eventually("the failure is told", func() bool {
		l := line(status(), "allocations")
		return strings.Contains(l, "stale") && strings.Contains(l, "s old, command ") && strings.Contains(l, "exited 1: no contact")
	})
	if text := whoami(); !strings.Contains(text, "1: n2\n") || !strings.Contains(text, "command exited 1") || strings.Contains(text, "no contact") {
		t.Errorf("whoami:\n%s", text)
	}
	// Between two runs there is none of it; a run has no time to leave any.
	s.eventually("nothing is left", func() bool { return exec.Command("pgrep", "-f", "sleep "+mark).Run() != nil })
}
