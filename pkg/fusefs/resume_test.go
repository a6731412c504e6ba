package fusefs

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/fusefs/device"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
	"golang.org/x/sys/unix"
)

// serveChild is in the environment of a process that serves the device which is its
// descriptor 3, as a daemon does: the INIT to resume with in hex and the generation, or "first".
const serveChild = "FUSEFS_TEST_SERVE"

// serveInChild says on standard output what the INIT was, and "stuck" when somebody reads
// what is never answered.
func serveInChild() {
	tree := resumeTree()
	tree.Before(func(_ context.Context, op vfstest.Op, path string) error {
		if op == vfstest.OpRead && path == "1/stuck" {
			fmt.Println("stuck")
			select {}
		}
		return nil
	})
	cfg := Config{Attach: attach(tree), Deadline: time.Hour}
	if init, generation, ok := strings.Cut(os.Getenv(serveChild), " "); ok {
		bytes, err := hex.DecodeString(init)
		n, err2 := strconv.Atoi(generation)
		if err := errors.Join(err, err2); err != nil {
			fmt.Println(err)
			return
		}
		cfg.Resume = &Resume{Init: bytes, Generation: uint32(n)}
	}
	s, err := Serve(os.NewFile(3, "/dev/fuse"), cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := s.WaitMounted(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("init %x\n", s.Init())
	s.Wait()
}

// resumeTree is what each of the servers serves.
func resumeTree() *vfstest.Tree {
	tree := vfstest.NewTree()
	long := vfstest.Stat{Keep: time.Hour}
	tree.Put("1", vfstest.Dir{Stat: long})
	tree.Put("1/stat", vfstest.File{Stat: long, Data: []byte("content of stat"), Hold: time.Hour})
	tree.Put("1/maps", vfstest.File{Stat: long, Data: []byte("content of maps"), Stream: true})
	tree.Put("1/stuck", vfstest.File{Stat: long, Data: []byte("x"), Stream: true})
	return tree
}

// A child is a server in a process of its own.
type child struct {
	cmd    *exec.Cmd
	lines  *bufio.Scanner
	init   []byte
	closed bool
}

// startChild has a clone of a device served by a process that alone has it.
func startChild(t *testing.T, dev *os.File, resume string) *child {
	t.Helper()
	clone, err := OpenClone(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer clone.Close()
	c := &child{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), serveChild+"="+resume)
	c.cmd.ExtraFiles = []*os.File{clone}
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.kill() })
	c.lines = bufio.NewScanner(out)
	line := c.next(t)
	if c.init, err = hex.DecodeString(strings.TrimPrefix(line, "init ")); err != nil {
		t.Fatalf("the server says %q", line)
	}
	return c
}

func (c *child) next(t *testing.T) string {
	t.Helper()
	if !c.lines.Scan() {
		t.Fatalf("the server says nothing: %v", c.lines.Err())
	}
	return c.lines.Text()
}

func (c *child) kill() {
	if !c.closed {
		c.closed = true
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
}

// TestResume kills servers with everything in use, and goes on with the next ones: no reader
// waits, whoever comes by a path gets the truth, and what is open says that it is lost.
func TestResume(t *testing.T) {
	dir, dev := mountedDevice(t, Config{})
	// The first server says what was negotiated.
	tree := resumeTree()
	first := servedFor(t, dev, tree, dir, Config{})
	init := first.Init()
	if err := first.Close(); err != nil || init == nil {
		t.Fatal(init, err)
	}
	for generation := range uint32(6) {
		resume := fmt.Sprintf("%x %d", init, 2*generation+1)
		c := startChild(t, dev, resume)
		if string(c.init) != string(init) {
			t.Fatal("a server that was resumed has another INIT")
		}
		expect(t, dir+"/1/stat", "content of stat")
		expect(t, dir+"/1/maps", "content of maps")
		open, err := os.Open(dir + "/1/maps")
		if err != nil {
			t.Fatal(err)
		}
		openDir, err := unix.Open(dir+"/1", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		failed := make(chan error, 1)
		go func() { failed <- readOnce(dir + "/1/stuck") }()
		if line := c.next(t); line != "stuck" {
			t.Fatal(line)
		}
		c.kill()
		if err := <-failed; !errors.Is(err, syscall.ECONNABORTED) {
			t.Errorf("a reader of the server that was killed: %v", err)
		}
		stand, err := StandBy(dev, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.ReadDir(dir); !errors.Is(err, syscall.EIO) {
			t.Errorf("a listing without a server: %v", err)
		}
		if _, err := os.ReadFile(dir + "/1/maps"); !errors.Is(err, syscall.EIO) {
			t.Errorf("a file without a server: %v", err)
		}
		if err := stand.Close(); err != nil {
			t.Error(err)
		}
		second := servedFor(t, dev, tree, dir, Config{Resume: &Resume{Init: init, Generation: 2*generation + 2}})
		if err := Revalidate(dev); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOSYS) {
			t.Error(err)
		}
		expect(t, dir+"/1/stat", "content of stat")
		expect(t, dir+"/1/maps", "content of maps")
		if names, err := os.ReadDir(dir + "/1"); err != nil || len(names) != 3 {
			t.Errorf("%d names, %v", len(names), err)
		}
		lost := func(what string, err error) {
			if !errors.Is(err, syscall.ESTALE) && !errors.Is(err, syscall.EIO) {
				t.Errorf("%s of the server before: %v", what, err)
			}
		}
		_, err = open.ReadAt(make([]byte, 1), 0)
		lost("an open file", err)
		_, err = unix.Getdents(openDir, make([]byte, 4096))
		lost("an open directory", err)
		lost("what is below it", below(openDir))
		cwd := exec.Command("sh", "-c", "cat maps")
		cwd.Dir = fmt.Sprintf("/proc/self/fd/%d", openDir)
		if out, err := cwd.CombinedOutput(); err == nil {
			t.Errorf("a working directory of the server before: %s", out)
		}
		if err := open.Close(); err != nil {
			t.Error(err)
		}
		unix.Close(openDir)
		// What the kernel gives back of the former servers is nobody's here.
		wait.Until(t, "what was given before is forgotten", func() bool {
			dropCaches(t)
			return second.fs.inodes.size() == 1
		})
		expect(t, dir+"/1/stat", "content of stat")
		if err := second.Close(); err != nil {
			t.Error(err)
		}
	}
}

// readOnce reads the start of a file.
func readOnce(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Read(make([]byte, 4096))
	return err
}

// below opens a file in a directory.
func below(dir int) error {
	fd, err := unix.Openat(dir, "maps", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func dropCaches(t *testing.T) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0); err != nil {
		t.Error(err)
	}
}

// Ids and handles of different generations have nothing in common.
func TestGeneration(t *testing.T) {
	tree := resumeTree()
	dir, s := mounted(t, tree, Config{Generation: 0xabcdef})
	f, err := os.Open(dir + "/1/maps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, open := range s.fs.mode.(*ordinary).files.all() {
		if id := open.inode.id; id>>counterBits != 0xabcdef {
			t.Errorf("node %x", id)
		}
	}
	if _, err := Serve(nil, Config{}); err == nil {
		t.Error("no device is served")
	}
	dev, err := OpenDevice()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Serve(dev, Config{Attach: attach(tree), Resume: &Resume{Init: []byte("no INIT")}}); err == nil {
		t.Error("a server goes on after what is no INIT")
	}
}

// A notification that is none is not written: it could be the answer to a request.
func TestWrite(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := Write(w, make([]byte, 16)); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("%v", err)
	}
	whole := device.Notification(device.NotifyInvalInode, make([]byte, 24), nil)
	if err := Write(w, whole); err != nil {
		t.Error(err)
	}
	w.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != string(whole) {
		t.Errorf("wrote %q, %v", got, err)
	}
}
