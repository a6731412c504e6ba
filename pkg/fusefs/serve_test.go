package fusefs

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"golang.org/x/sys/unix"
)

// inNamespace runs f on a thread with a mount namespace of its own.
func inNamespace(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestServe serves a device that is mounted later, in a mount namespace that
// the server does not see.
func TestServe(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("f", vfstest.File{Data: []byte("content"), Hold: time.Hour, Stat: vfstest.Stat{Keep: time.Hour}})
	cfg := Config{Attach: attach(tree)}
	dev, err := OpenDevice()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(dev.Fd(), unix.F_DUPFD_CLOEXEC, 3) // as another process inherits it
	if err != nil {
		t.Fatal(err)
	}
	s, err := Serve(dev, cfg)
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.WaitMounted(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("mounted before it is: %v", err)
	}
	dir := t.TempDir()
	inNamespace(t, func() {
		if err := MountAt(dir, fd, cfg); err != nil {
			t.Error(err)
			return
		}
		unix.Close(fd)
		if err := s.WaitMounted(t.Context()); err != nil {
			t.Error(err)
		}
		file, err := unix.Open(dir+"/f", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			return
		}
		buf := make([]byte, 100)
		if n, err := unix.Read(file, buf); string(buf[:max(n, 0)]) != "content" {
			t.Errorf("%q, %v", buf[:max(n, 0)], err)
		}
		unix.Close(file)
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s.Wait() // the last mount is gone
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("the mount shows outside of its namespace: %v", names)
	}
}

// TestNeverMounted ends a server that nobody ever mounted.
func TestNeverMounted(t *testing.T) {
	dev, err := OpenDevice()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Serve(dev, Config{Attach: attach(vfstest.NewTree())})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.WaitMounted(t.Context()); err == nil {
		t.Error("mounted though closed")
	}
}

// TestRefused: a tree that may not be attached is not mounted.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	_, err := Mount(dir, Config{Attach: func(context.Context, vfs.Identity) (vfs.Node, error) { return nil, unix.EACCES }})
	if !errors.Is(err, unix.EACCES) {
		t.Errorf("mount: %v", err)
	}
	if _, err := Mount(dir+"/nothing", Config{}); !errors.Is(err, unix.ENOENT) {
		t.Errorf("mount on nothing: %v", err)
	}
}

// TestUnmounted: somebody else takes the mount away.
func TestUnmounted(t *testing.T) {
	dir, s := mounted(t, vfstest.NewTree(), Config{})
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { s.Wait(); close(over) }()
	select {
	case <-over:
	case <-time.After(10 * time.Second):
		t.Error("the server does not end with its mount")
	}
}

// TestCPUs has the device read on one CPU.
func TestCPUs(t *testing.T) {
	var may, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if may.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	tree := vfstest.NewTree()
	tree.Put("f", vfstest.File{Data: []byte("content")})
	dir, _ := mounted(t, tree, Config{CPUs: &one})
	if got, err := os.ReadFile(dir + "/f"); string(got) != "content" {
		t.Fatalf("%q, %v", got, err)
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		tid, _ := strconv.Atoi(thread.Name())
		var has unix.CPUSet
		if err := unix.SchedGetaffinity(tid, &has); err == nil && has == one {
			return
		}
	}
	t.Error("no thread stays on that CPU")
}
