package nsexec_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/test/wait"
)

// An output is what a running server and its command have printed so far.
type output struct {
	cmd  *exec.Cmd
	read int // how far expect has come

	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// expect waits until the next thing that is looked for has been printed.
func (o *output) expect(t *testing.T, what string) {
	t.Helper()
	wait.Until(t, fmt.Sprintf("%q is printed", what), func() bool {
		i := strings.Index(o.String()[o.read:], what)
		if i >= 0 {
			o.read += i + len(what)
		}
		return i >= 0
	})
}

// startPiped starts a server whose output can be looked at while it runs.
func startPiped(t *testing.T, aside string, argv ...string) (*exec.Cmd, *output) {
	t.Helper()
	out := &output{cmd: command(t, aside, argv...)}
	out.cmd.Stdout, out.cmd.Stderr = out, out
	if err := out.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return out.cmd, out
}

// startTerminal runs a shell, say, as the leader of a session on a terminal of its
// own and returns the other side of that, see pty(7).
func startTerminal(t *testing.T, aside string, argv ...string) (*os.File, *output) {
	t.Helper()
	term, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(term.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(term.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := &output{cmd: command(t, aside, argv[1:]...)}
	if out.cmd.Path, err = exec.LookPath(argv[0]); err != nil {
		t.Fatal(err)
	}
	out.cmd.Stdin, out.cmd.Stdout, out.cmd.Stderr = tty, tty, tty
	out.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := out.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	var reader sync.WaitGroup
	reader.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := term.Read(buf)
			if err != nil {
				return // EIO: nobody has the terminal open any more
			}
			out.Write(buf[:n])
		}
	})
	t.Cleanup(func() {
		out.cmd.Process.Kill() // the terminal's hangup ends the others
		reader.Wait()
		term.Close()
	})
	return term, out
}
