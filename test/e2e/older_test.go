package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/test/cluster"
)

// olderCommit is the version whose programs those of today must still work with: nodes and
// head are not upgraded in the same moment.
const olderCommit = "a29321f"

// buildOlder builds the programs of that version from the repository's history.
func buildOlder(t *testing.T) (dir string) {
	t.Helper()
	source, dir := t.TempDir(), t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	top, err := exec.CommandContext(ctx, "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		t.Fatalf("this test builds commit %s, and so needs a git checkout: %v", olderCommit, err)
	}
	script := fmt.Sprintf("git -C %q archive %s | tar -x -C %q", strings.TrimSpace(string(top)), olderCommit, source)
	if out, err := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("commit %s is not in this checkout (git fetch --unshallow brings it): %v\n%s", olderCommit, err, out)
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", dir+"/", "./cmd/aggrfs", "./cmd/procsrv")
	build.Dir = source
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", olderCommit, err, out)
	}
	return dir
}

// The programs of an older version work with today's: as leaves, as the command, and as the
// server. But for exec, whose mount the server of this machine serves since: there the older of
// the two says that the server, or the program, is to be renewed.
func TestOlderPartners(t *testing.T) {
	older := buildOlder(t)
	// works tries what everybody does, by the command of that directory.
	works := func(t *testing.T, s *site, command string, mounts bool) {
		t.Helper()
		run := func(args ...string) string {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			mount := args[0] == "exec"
			args = append([]string{args[0], "--server", s.server}, args[1:]...)
			out, err := output(exec.CommandContext(ctx, filepath.Join(command, "aggrfs"), args...))
			switch {
			case mount && !mounts && (err == nil || !strings.Contains(err.Error(), "restart it")):
				t.Errorf("%q: %v, want that the server is to be restarted", args, err)
			case (!mount || mounts) && err != nil:
				t.Error(err)
			}
			return out
		}
		for _, want := range []struct {
			text string
			args []string
		}{
			{"n1", []string{"nodes"}},
			{"solver --user bob --node n1", []string{"ps", "aux"}},
			{"10000001", []string{"where", "10000001"}},
			{"administrator", []string{"whoami"}},
			{"solver --user bob --node n1", []string{"exec", "--", "ps", "-ef"}},
			{"nodeinit", []string{"exec", "--", "readlink", "/proc/10000001/exe"}},
			{"MemTotal", []string{"exec", "--", "cat", "/proc/nodes/n1/meminfo"}},
			{"USER=", []string{"exec", "--", "sh", "-c", "tr '\\0' '\\n' </proc/10000001/environ; echo USER="}},
		} {
			if out := run(want.args...); (mounts || want.args[0] != "exec") && !strings.Contains(out, want.text) {
				t.Errorf("aggrfs %q lacks %q:\n%s", want.args, want.text, out)
			}
		}
	}
	t.Run("leaf", func(t *testing.T) {
		works(t, newSite(t, cluster.Options{Nodes: 1, ProcsrvPath: filepath.Join(older, "procsrv")}, ""), bin, true)
	})
	t.Run("command", func(t *testing.T) {
		works(t, newSite(t, cluster.Options{Nodes: 1}, ""), older, false)
	})
	t.Run("server", func(t *testing.T) {
		works(t, newSiteBy(t, older, cluster.Options{Nodes: 1}, ""), bin, false)
	})
}
