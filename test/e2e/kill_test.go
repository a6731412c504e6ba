package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/test/cluster"
)

// TestKill acts on processes by aggrfs kill and renice.
func TestKill(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2, ProcsrvArgs: []string{"--control", "all"}}, controlled)
	spawn := func(node int, uid uint32, argv ...string) int {
		t.Helper()
		pid, err := s.cluster.Nodes[node].Spawn(cluster.Process{UID: uid, GID: uid, Argv: argv})
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	var gone func(node, pid int) bool
	ends := func(node, pid int) bool { // SIGKILL takes its moment
		t.Helper()
		s.eventually("it has ended", func() bool { return gone(node, pid) })
		return true
	}
	gone = func(node, pid int) bool {
		return s.cluster.Nodes[node].Signal(pid, 0) != nil || strings.HasPrefix(strings.TrimSpace(s.onNode(s.cluster.Nodes[node], "sh", "-c", "ps -o state= -p "+strconv.Itoa(pid)+" || true")), "Z")
	}
	status := func(want int, args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(bin, "aggrfs"), append([]string{args[0], "--server", s.server}, args[1:]...)...)
		out, err := cmd.CombinedOutput()
		got := 0
		var exited *exec.ExitError
		if errors.As(err, &exited) {
			got = exited.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%q ends with %d, want %d:\n%s", args, got, want, out)
		}
		return string(out)
	}
	a, b := spawn(0, cluster.Bob, "sleep", "710001"), spawn(1, cluster.Bob, "sleep", "710002")
	first, second := strconv.Itoa(gpidOf(1, a)), "n2:"+strconv.Itoa(b)

	if out := status(0, "kill", "--dry-run", first, second); !strings.Contains(out, "sleep 710001") || !strings.Contains(out, "sleep 710002") {
		t.Errorf("%s", out)
	}
	if out := status(2, "kill", first); !strings.Contains(out, "no terminal") { // the test has none
		t.Errorf("%s", out)
	}
	status(2, "kill", "-y")
	status(2, "kill", "-y", "-s", "NONE", first)
	status(2, "renice", "-y", first)
	if gone(0, a) || gone(1, b) {
		t.Error("it was done without a word")
	}
	if out := status(0, "renice", "-n", "7", "-y", first, second); !strings.Contains(out, "nice 7: 2 processes on n[1-2]") {
		t.Errorf("%s", out)
	}
	if got := strings.TrimSpace(s.onNode(s.cluster.Nodes[1], "ps", "-o", "ni=", "-p", strconv.Itoa(b))); got != "7" {
		t.Errorf("nice %s", got)
	}
	// As somebody who may not, who is told so before they are asked.
	for _, ask := range [][]string{{}, {"--dry-run"}} {
		out := status(1, append([]string{"kill", "--as", "1001", first}, ask...)...)
		if !strings.Contains(out, "not allowed for 1 process on n1: operation not permitted") || !strings.Contains(out, "sleep 710001") || strings.Contains(out, "no terminal") {
			t.Errorf("%s", out)
		}
	}
	if out := status(1, "kill", "--as", "1001", "-y", first); !strings.Contains(out, "not done for 1 process on n1: operation not permitted") || gone(0, a) {
		t.Errorf("%s", out)
	}
	if out := status(1, "kill", "--as", "1001", "-y", "n1:3999999"); !strings.Contains(out, "no process n1:3999999") {
		t.Errorf("%s", out)
	}
	if out := status(1, "kill", "-KILL", "-y", first, "n1:3999999"); !strings.Contains(out, "no process n1:3999999") || !strings.Contains(out, "signal KILL: 1 process on n1") || !ends(0, a) {
		t.Errorf("%s", out)
	}
	// All of a user on some nodes.
	c := spawn(0, cluster.Bob, "sleep", "710003")
	if out := status(0, "kill", "-9", "-y", "--user", "1002", "--nodes", "n2"); strings.Contains(out, " n1 ") || !ends(1, b) || gone(0, c) {
		t.Errorf("%s", out)
	}
	// One whose first thread has ended looks as a thread of the kernel does: no memory, and no arguments.
	const carol, headless = 1003, `import ctypes, sys, threading, time
threading.Thread(target=time.sleep, args=(10000,)).start()
ctypes.CDLL(None).syscall(int(sys.argv[1]), 0)`
	d := spawn(1, carol, "python3", "-c", headless, strconv.Itoa(unix.SYS_EXIT))
	threads := func() string {
		return strings.TrimSpace(s.onNode(s.cluster.Nodes[1], "sh", "-c", fmt.Sprintf("ps -L -o state= -p %d || true", d)))
	}
	s.eventually("its first thread has ended", func() bool { return strings.HasPrefix(threads(), "Z\nS") })
	if out := status(0, "kill", "-9", "-y", "--user", strconv.Itoa(carol), "--nodes", "n2"); !strings.Contains(out, "signal KILL: 1 process on n2") {
		t.Errorf("%s", out)
	}
	s.eventually("it has ended", func() bool { return !strings.Contains(threads(), "S") })
	if out := status(1, "kill", "-y", "--job", "no-such-job", "--nodes", "n[1-2]"); !strings.Contains(out, "no such process") {
		t.Errorf("%s", out)
	}
}

// Where control is not allowed, by the server or by a node, kill and renice say so and do not ask.
func TestKillNotAllowed(t *testing.T) {
	for name, tc := range map[string]struct {
		head, want string
	}{
		"the server": {"", "you may not act on processes here"},
		"the node":   {controlled, "not allowed for 1 process on n1: "},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, cluster.Options{Nodes: 1}, tc.head)
			pid, err := s.cluster.Nodes[0].Spawn(cluster.Process{UID: cluster.Bob, GID: cluster.Bob, Argv: []string{"sleep", "710010"}})
			if err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"kill"}, {"kill", "--dry-run"}, {"renice", "-n", "5"}, {"renice", "-n", "5", "--dry-run"}} {
				cmd := exec.Command(filepath.Join(bin, "aggrfs"), append(args, "--server", s.server, "n1:"+strconv.Itoa(pid))...)
				out, err := cmd.CombinedOutput()
				var exited *exec.ExitError
				if !errors.As(err, &exited) || exited.ExitCode() != 1 || !strings.Contains(string(out), tc.want) || !strings.Contains(string(out), "sleep 710010") {
					t.Errorf("%q: %v\n%s", args, err, out)
				}
			}
			if s.cluster.Nodes[0].Signal(pid, 0) != nil {
				t.Error("the process has ended")
			}
		})
	}
}
