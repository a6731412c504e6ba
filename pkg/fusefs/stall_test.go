package fusefs

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
)

// stalling is a tree in which every operation on "stuck" does what stall does.
func stalling(stall func(context.Context) error) *vfstest.Tree {
	tree := vfstest.NewTree()
	tree.Put("dir/stuck", vfstest.File{Data: []byte("x"), Stream: true})
	tree.Put("stuckdir/x", vfstest.File{})
	tree.Put("stucklink", vfstest.Link{Target: "x"})
	tree.Put("fine", vfstest.File{Data: []byte("fine")})
	tree.Before(func(ctx context.Context, op vfstest.Op, path string) error {
		if strings.Contains(path, "stuck") && op != vfstest.OpWalk && op != vfstest.OpAttr && !strings.HasSuffix(path, "/x") {
			return stall(ctx)
		}
		return nil
	})
	return tree
}

// TestDeadline: no call takes longer than the deadline, whether the tree minds
// its context or not, and others do not wait for it.
func TestDeadline(t *testing.T) {
	const deadline = 100 * time.Millisecond
	for name, c := range map[string]struct {
		stall func(context.Context) error
		stuck bool
	}{
		"blocked": {stall: vfstest.Block},
		"deaf":    {stall: func(ctx context.Context) error { _ = vfstest.Deaf(ctx, 10*deadline); return nil }, stuck: true},
	} {
		t.Run(name, func(t *testing.T) {
			tree := stalling(c.stall)
			dir, s := mounted(t, tree, Config{Deadline: deadline})
			var wg sync.WaitGroup
			for what, call := range map[string]func() error{
				"open":     func() error { _, err := os.ReadFile(dir + "/dir/stuck"); return err },
				"list":     func() error { _, err := os.ReadDir(dir + "/stuckdir"); return err },
				"readlink": func() error { _, err := os.Readlink(dir + "/stucklink"); return err },
			} {
				wg.Go(func() {
					start := time.Now()
					err := call()
					if took := time.Since(start); !errors.Is(err, syscall.ETIMEDOUT) || took > 8*deadline {
						t.Errorf("%s: %v after %v", what, err, took)
					}
				})
			}
			for range 20 {
				start := time.Now()
				if got, err := os.ReadFile(dir + "/fine"); string(got) != "fine" || time.Since(start) > deadline {
					t.Errorf("meanwhile: %q, %v after %v", got, err, time.Since(start))
				}
			}
			wg.Wait()
			if n := s.Stuck(); (n > 0) != c.stuck {
				t.Errorf("%d calls are stuck", n)
			}
			wait.Until(t, "stuck calls over", func() bool { return s.Stuck() == 0 && s.conn.Running() == 0 })
			if got, err := os.ReadFile(dir + "/fine"); string(got) != "fine" {
				t.Errorf("afterwards: %q, %v", got, err)
			}
		})
	}
}

// TestInterrupt kills a program that waits for the tree.
func TestInterrupt(t *testing.T) {
	entered := make(chan struct{}, 10)
	tree := stalling(func(ctx context.Context) error { entered <- struct{}{}; return vfstest.Block(ctx) })
	dir, s := mounted(t, tree, Config{Deadline: time.Minute})
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		cat := exec.Command("cat", filepath.Join(dir, "dir/stuck"))
		if err := cat.Start(); err != nil {
			t.Fatal(err)
		}
		<-entered
		start := time.Now()
		_ = cat.Process.Signal(sig)
		err := cat.Wait()
		if took := time.Since(start); err == nil || took > 5*time.Second {
			t.Errorf("%v: cat ended with %v after %v", sig, err, took)
		}
		wait.Until(t, "no request left", func() bool { return s.conn.Running() == 0 })
	}
}

// TestCloseBusy unmounts under a program that waits, one with an open file and
// one with its working directory there.
func TestCloseBusy(t *testing.T) {
	entered := make(chan struct{}, 10)
	tree := stalling(func(ctx context.Context) error { entered <- struct{}{}; return vfstest.Block(ctx) })
	dir, s := mounted(t, tree, Config{Deadline: time.Minute})
	open, err := os.Open(dir + "/fine")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	failed := make(chan error, 1)
	go func() { _, err := os.ReadFile(dir + "/dir/stuck"); failed <- err }()
	<-entered
	start := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("close took %v", took)
	}
	if err := <-failed; err == nil {
		t.Error("a read that never came succeeded")
	}
	if _, err := open.Read(make([]byte, 1)); !errors.Is(err, syscall.ENOTCONN) && !errors.Is(err, syscall.ECONNABORTED) {
		t.Errorf("read of a file left open: %v", err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("still mounted: %v", names)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	s.Wait()
}

// TestCloseDeaf: a call that never ends holds up no unmount.
func TestCloseDeaf(t *testing.T) {
	entered, end := make(chan struct{}, 10), make(chan struct{})
	tree := stalling(func(context.Context) error { entered <- struct{}{}; <-end; return nil })
	dir := t.TempDir()
	s, err := Mount(dir, Config{Attach: attach(tree), Deadline: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() { _, err := os.ReadFile(dir + "/dir/stuck"); failed <- err }()
	<-entered
	if err := s.Close(); err == nil {
		t.Error("close does not tell of the call that goes on")
	}
	if err := <-failed; err == nil {
		t.Error("a read that never came succeeded")
	}
	close(end)
	wait.Until(t, "call over and its file closed", func() bool { return tree.Handles() == 0 && s.conn.Running() == 0 })
}
