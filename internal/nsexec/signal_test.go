package nsexec_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// counts prints each signal that it gets, and ends at SIGTERM.
const counts = `for s in HUP INT QUIT USR1 USR2 CONT WINCH; do trap "echo got $s" $s; done
trap "echo got TERM; exit 3" TERM
echo ready
while :; do sleep 0.02; done`

func TestSignalsPass(t *testing.T) {
	cmd, out := startPiped(t, asideIn(t), "bash", "-c", counts)
	out.expect(t, "ready")
	for _, s := range []string{"HUP", "INT", "QUIT", "USR1", "USR2", "CONT", "WINCH", "TERM"} {
		cmd.Process.Signal(unix.SignalNum("SIG" + s))
		out.expect(t, "got "+s)
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 3 {
		t.Errorf("exit status %d", code)
	}
}

func TestIgnoredStaysIgnored(t *testing.T) {
	aside := asideIn(t)
	cmd, out := startShell(t, aside, `trap "" HUP; exec "$@"`, "sh", "-c", "kill -HUP $$; echo alive")
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "alive") {
		t.Errorf("%v: %s", err, out)
	}
}

// Under a shell with job control ^C reaches the command once, ^Z stops server
// and command, and fg has them go on together.
func TestTerminal(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	shell := `set -m; "$@"; echo "left with $?"; fg; echo "ended with $?"`
	term, out := startTerminal(t, asideIn(t), "bash", "-c", shell, "bash", self, "bash", "-c", counts)
	out.expect(t, "ready")
	for range 3 {
		term.Write([]byte{3}) // ^C
		out.expect(t, "got INT")
	}
	time.Sleep(200 * time.Millisecond) // for a second one to come
	if n := strings.Count(out.String(), "got INT"); n != 3 {
		t.Errorf("three ^C came as %d signals: %s", n, out)
	}
	term.Write([]byte{26}) // ^Z
	out.expect(t, "left with 148")
	out.expect(t, "got CONT")
	term.Write([]byte{28}) // ^\
	out.expect(t, "got QUIT")
	server := childOf(t, out.cmd.Process.Pid, self)
	syscall.Kill(server, syscall.SIGTERM)
	out.expect(t, "got TERM")
	out.expect(t, "ended with 3")
	out.cmd.Wait()
}
