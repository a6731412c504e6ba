package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/test/wait"
)

// A terminal is a program on a terminal of its own, made by tmux.
type terminal struct {
	t      *testing.T
	socket string
}

// newTerminal runs a shell's command on a terminal of 200 columns and 60 lines, until it ends or
// the test does.
func newTerminal(t *testing.T, command string) *terminal {
	t.Helper()
	x := &terminal{t, filepath.Join(t.TempDir(), "tmux")}
	x.tmux("-f", "/dev/null", "new-session", "-d", "-x", "200", "-y", "60", command)
	t.Cleanup(func() { exec.Command("tmux", "-S", x.socket, "kill-server").Run() }) // or it has ended
	return x
}

func (x *terminal) tmux(args ...string) string {
	cmd := exec.Command("tmux", append([]string{"-S", x.socket}, args...)...)
	cmd.Env = append(os.Environ(), "TERM=screen", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		x.t.Errorf("tmux %v: %v: %s", args, err, out)
	}
	return string(out)
}

// screen is what the terminal shows.
func (x *terminal) screen() string { return x.tmux("capture-pane", "-p") }

// typeKeys types keys, by tmux's names.
func (x *terminal) typeKeys(keys ...string) { x.tmux(append([]string{"send-keys"}, keys...)...) }

// await waits until a look at the screen returns no error.
func (x *terminal) await(what string, look func(screen string) error) {
	x.t.Helper()
	screen := ""
	err := wait.Poll(x.t.Context(), func() error {
		screen = x.screen()
		return look(screen)
	})
	if err != nil {
		x.t.Errorf("%s: %v:\n%s", what, err, strings.TrimSpace(screen))
	}
}

// ended waits for the end of the program.
func (x *terminal) ended() {
	x.t.Helper()
	wait.Until(x.t, "the program on the terminal has ended", func() bool {
		return exec.Command("tmux", "-S", x.socket, "has-session").Run() != nil
	})
}
