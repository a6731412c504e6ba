package fusefs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
	"go.uber.org/goleak"
)

// opcodes are more than there are.
const opcodes = 64

func TestMain(m *testing.M) {
	if os.Getenv(serveChild) != "" {
		serveInChild()
		return
	}
	// All directories of all tests are below one, by which their mounts are known.
	dir, err := os.MkdirTemp("", "fusefs")
	if err == nil {
		err = errors.Join(os.Chmod(dir, 0o755), os.Setenv("TMPDIR", dir))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	for _, err := range []error{leftMounts(dir), leftDevices(), goleak.Find(), os.Remove(dir)} {
		if code == 0 && err != nil {
			fmt.Fprintln(os.Stderr, "left behind:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// leftMounts are those below dir.
func leftMounts(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	for line := range bytes.Lines(mounts) {
		if bytes.Contains(line, []byte(dir)) {
			err = errors.Join(err, fmt.Errorf("mount %s", line))
		}
	}
	return err
}

// leftDevices are open FUSE devices.
func leftDevices() error {
	fds, err := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); to == "/dev/fuse" {
			err = errors.Join(err, fmt.Errorf("descriptor %s, %s", fd.Name(), to))
		}
	}
	return err
}

// attach is a Config.Attach of a tree.
func attach(tree vfs.Tree) func(context.Context, vfs.Identity) (vfs.Node, error) {
	return func(ctx context.Context, who vfs.Identity) (vfs.Node, error) { return tree.Attach(ctx, who, "") }
}

// mounted mounts a tree for one test, which also fails if the mount used the
// tree against its contract or left something open.
func mounted(t testing.TB, tree *vfstest.Tree, cfg Config) (dir string, s *Server) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cfg.Attach = attach(tree)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(&testLog{t: t}, nil))
	}
	s, err := Mount(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		wait.Until(t, "all handles closed", func() bool { return tree.Handles() == 0 })
		for _, v := range tree.Violations() {
			t.Errorf("contract: %s", v)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.WaitMounted(ctx); err != nil {
		t.Fatal(err)
	}
	return dir, s
}

// testLog logs to a test for as long as it runs.
type testLog struct {
	t  testing.TB
	mu sync.Mutex
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t.Context().Err() == nil {
		l.t.Logf("%s", p)
	}
	return len(p), nil
}
