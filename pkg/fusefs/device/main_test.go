package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	// All directories of all tests are below one, by which their mounts are known.
	dir, err := os.MkdirTemp("", "fusedevice")
	if err == nil {
		err = os.Setenv("TMPDIR", dir)
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
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); to == devicePath {
			err = errors.Join(err, fmt.Errorf("descriptor %s, %s", fd.Name(), to))
		}
	}
	return err
}

// small is a file system with one file, whose content is its name.
type small struct {
	fuse.RawFileSystem
	look func(name string) fuse.Status // before a LOOKUP is answered; nil is at once
}

const smallFile = 7

func newSmall() *small { return &small{RawFileSystem: fuse.NewDefaultRawFileSystem()} }

func (s *small) String() string           { return "small" }
func (s *small) Run(stop <-chan struct{}) { <-stop }
func (s *small) Close()                   {}

func smallAttr(id uint64) fuse.Attr {
	if id == smallFile {
		return fuse.Attr{Ino: id, Mode: unix.S_IFREG | 0o444, Nlink: 1}
	}
	return fuse.Attr{Ino: id, Mode: unix.S_IFDIR | 0o555, Nlink: 2}
}

func (s *small) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	out.Attr = smallAttr(in.NodeId)
	return fuse.OK
}

func (s *small) Lookup(_ <-chan struct{}, _ *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if s.look != nil {
		if status := s.look(name); !status.Ok() {
			return status
		}
	}
	if name != "file" {
		return fuse.ENOENT
	}
	out.NodeId, out.Attr = smallFile, smallAttr(smallFile)
	return fuse.OK
}

func (s *small) Open(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_DIRECT_IO
	return fuse.OK
}

func (s *small) Read(_ <-chan struct{}, in *fuse.ReadIn, _ []byte) (fuse.ReadResult, fuse.Status) {
	content := "file"
	return fuse.ReadResultData([]byte(content[min(int(in.Offset), len(content)):])), fuse.OK
}

// mountSmall mounts a device that nobody serves yet.
func mountSmall(t *testing.T) (dir string, dev *os.File) {
	t.Helper()
	dir = t.TempDir()
	dev, unmount, err := Mount(dir, Options{Source: "small"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unmount(); err != nil {
			t.Error(err)
		}
		dev.Close()
	})
	return dir, dev
}

// served serves a device until the end of the test.
func served(t *testing.T, dev *os.File, h Handler, init []byte) *Conn {
	t.Helper()
	return servedWith(t, dev, h, Config{Deadline: time.Minute, Init: init})
}

// servedWith is served with another configuration.
func servedWith(t *testing.T, dev *os.File, h Handler, cfg Config) *Conn {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	c, err := New(dev, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Serve(h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.WaitMounted(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

// duplicate is another descriptor of the same open device.
func duplicate(t *testing.T, dev *os.File) *os.File {
	t.Helper()
	fd, err := unix.FcntlInt(dev.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), devicePath)
	t.Cleanup(func() { f.Close() })
	return f
}
