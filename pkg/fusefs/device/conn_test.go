package device

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/aggrfs/aggrfs/test/wait"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// read reads the file of a small file system.
func read(dir string) error {
	got, err := os.ReadFile(dir + "/file")
	if err == nil && string(got) != "file" {
		err = errors.New(string(got))
	}
	return err
}

// At its end a server starts no reader: who waits for them would not know of it.
func TestNoReaderAtTheEnd(t *testing.T) {
	_, dev := mountSmall(t)
	c := served(t, duplicate(t, dev), newSmall(), nil)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	before := c.post.readers.Load()
	c.call()
	if n := c.post.readers.Load(); n != before {
		t.Errorf("%d readers, there were %d", n, before)
	}
}

// A second server goes on on a clone of the device after the first has gone with a request
// that it never answers: whose that is gets an error at once, and everybody else an answer.
func TestTakeOver(t *testing.T) {
	dir, dev := mountSmall(t)
	entered, end := make(chan struct{}), make(chan struct{})
	stuck := newSmall()
	stuck.look = func(name string) fuse.Status {
		if name == "stuck" {
			entered <- struct{}{}
			<-end
		}
		return fuse.OK
	}
	init := greeting(t, dir, dev)
	clone, err := OpenClone(dev)
	if err != nil {
		t.Fatal(err)
	}
	first := served(t, clone, stuck, init)
	if err := read(dir); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() { _, err := os.Lstat(dir + "/stuck"); failed <- err }()
	<-entered
	vanish(t, clone)
	if err := <-failed; !errors.Is(err, syscall.ECONNABORTED) {
		t.Errorf("the request of a server that has gone: %v", err)
	}
	close(end)
	second, err := OpenClone(dev)
	if err != nil {
		t.Fatal(err)
	}
	served(t, second, newSmall(), first.Init())
	if err := read(dir); err != nil {
		t.Errorf("from the second server: %v", err)
	}
}

// vanish takes a device from its server as the end of its process would: the number stays
// that of an open file, so that nobody else gets it.
func vanish(t *testing.T, dev *os.File) {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := unix.Dup3(int(null.Fd()), int(dev.Fd()), unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
}

// greeting serves a device until it is mounted, and returns the INIT.
func greeting(t *testing.T, dir string, dev *os.File) []byte {
	t.Helper()
	c := served(t, duplicate(t, dev), newSmall(), nil)
	if err := read(dir); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return c.Init()
}

// What a server has read and not answered is delivered again to the next one.
func TestResend(t *testing.T) {
	dir, dev := mountSmall(t)
	init := greeting(t, dir, dev)
	if err := unix.SetNonblock(int(dev.Fd()), false); err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() { got <- read(dir) }()
	request := make([]byte, requestSize)
	n, err := dev.Read(request) // and never answers
	if err != nil {
		t.Fatal(err)
	}
	if err := Resend(dev); errors.Is(err, unix.EINVAL) {
		t.Log("this kernel cannot send requests again")
		out := make([]byte, outHeaderSize)
		failure(out, (*fuse.InHeader)(unsafe.Pointer(&request[:n][0])).Unique, unix.EIO)
		if _, err := dev.Write(out); err != nil {
			t.Error(err)
		}
		if err := <-got; !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
		return
	} else if err != nil {
		t.Fatal(err)
	}
	served(t, duplicate(t, dev), newSmall(), init)
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// What a server has read and not answered is refused by the stand-in, where the kernel can do nothing
// about it: with the next request, or with a signal to who waits.
func TestRefuseRead(t *testing.T) {
	for name, next := range map[string]func(t *testing.T, dir string, waits *os.Process) error{
		"its number is known": func(*testing.T, string, *os.Process) error { return nil },
		"another request": func(t *testing.T, dir string, _ *os.Process) error {
			var st unix.Statfs_t
			if err := unix.Statfs(dir, &st); err != unix.EIO {
				return fmt.Errorf("it gets %v", err)
			}
			return nil
		},
		"a signal": func(_ *testing.T, _ string, waits *os.Process) error { return waits.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			dir, dev := mountSmall(t)
			greeting(t, dir, dev)
			if err := unix.SetNonblock(int(dev.Fd()), false); err != nil {
				t.Fatal(err)
			}
			cat := exec.Command("cat", dir+"/file")
			if err := cat.Start(); err != nil {
				t.Fatal(err)
			}
			request := make([]byte, requestSize)
			if n, err := dev.Read(request); err != nil || n < headerSize { // and never answers
				t.Fatal(n, err)
			}
			latest := (*fuse.InHeader)(unsafe.Pointer(&request[0])).Unique
			if name != "its number is known" { // it is far from what is tried
				latest = 1 << 62
			}
			s, err := StandBy(dev, MountPoint{})
			if err != nil {
				t.Fatal(err)
			}
			s.RefuseRead(latest)
			if err := next(t, dir, cat.Process); err != nil {
				t.Error(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = cat.Wait() // which fails
			}()
			wait.Until(t, "who waited ends", func() bool { return over(ended) })
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Somebody who shares the device makes it block: the server ends all the same, and says who
// is left behind.
func TestBlockingDevice(t *testing.T) {
	dir, dev := mountSmall(t)
	c := served(t, duplicate(t, dev), newSmall(), nil)
	// As soon as the device blocks, the next reader stays inside.
	wait.Until(t, "a reader is inside", func() bool {
		if err := unix.SetNonblock(int(dev.Fd()), false); err != nil {
			t.Fatal(err)
		}
		if err := read(dir); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Millisecond)
		return c.dev.inside.Load() > 0
	})
	start := time.Now()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("close took %v", took)
	}
	// What it reads at last it refuses. If a signal has freed it before, nobody answers.
	refused := make(chan error, 1)
	go func() { refused <- read(dir) }()
	wait.Until(t, "the reader has left", func() bool { return over(c.Left()) })
	wait.Until(t, "its descriptor is closed", func() bool {
		c.dev.mu.RLock()
		defer c.dev.mu.RUnlock()
		return c.dev.closed
	})
	s, err := StandBy(dev, MountPoint{})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-refused; !errors.Is(err, syscall.ENOTCONN) && !errors.Is(err, syscall.EIO) {
		t.Errorf("a request to a server that has ended: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Somebody who shares the device takes requests, and drops or answers them. The server goes
// on, and ends.
func TestThief(t *testing.T) {
	dir, dev := mountSmall(t)
	c := served(t, duplicate(t, dev), newSmall(), nil)
	if err := read(dir); err != nil {
		t.Fatal(err)
	}
	const readers = 4
	stop, readersOver := make(chan struct{}), make(chan error, readers)
	for range readers {
		go func() {
			for {
				select {
				case <-stop:
					readersOver <- nil
					return
				default:
				}
				switch err := read(dir); {
				case err == nil, errors.Is(err, syscall.EIO):
				case errors.Is(err, syscall.ECONNABORTED), errors.Is(err, syscall.ENOTCONN):
					readersOver <- nil
					return
				default:
					readersOver <- err
					return
				}
			}
		}()
	}
	request := make([]byte, requestSize)
	dropped, taken := 0, 0
	wait.Until(t, "a request was dropped", func() bool {
		for range 1000 {
			n, err := unix.Read(int(dev.Fd()), request)
			if err != nil {
				continue
			}
			switch opcode(request[:n]) {
			case OpForget, OpBatchForget, OpRelease, OpInterrupt:
				continue
			}
			if taken++; taken%5 == 0 {
				dropped++
				continue
			}
			out := make([]byte, outHeaderSize)
			failure(out, (*fuse.InHeader)(unsafe.Pointer(&request[:n][0])).Unique, unix.EIO)
			_, _ = unix.Write(int(dev.Fd()), out)
		}
		return dropped > 0 // others may wait for the same name, without a request
	})
	close(stop)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	wait.Until(t, "no reader is left", func() bool { return over(c.Left()) })
	dev.Close() // the last descriptor
	for range readers {
		if err := <-readersOver; err != nil {
			t.Error(err)
		}
	}
}

// A stand-in answers everybody at once, and leaves nothing unanswered.
func TestStandBy(t *testing.T) {
	dir, dev := mountSmall(t)
	init := greeting(t, dir, dev)
	for range 20 {
		s, err := StandBy(dev, MountPoint{})
		if err != nil {
			t.Fatal(err)
		}
		stop, over := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(over)
			for {
				select {
				case <-stop:
					return
				default:
					if err := read(dir); err != nil && !errors.Is(err, syscall.EIO) {
						t.Error(err)
					}
				}
			}
		}()
		if err := read(dir); !errors.Is(err, syscall.EIO) {
			t.Errorf("from a stand-in: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-s.Done()
		clone, err := OpenClone(dev)
		if err != nil {
			t.Fatal(err)
		}
		c := served(t, clone, newSmall(), init)
		close(stop)
		<-over
		if err := read(dir); err != nil {
			t.Errorf("from the server after it: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A stand-in ends with its mount.
func TestStandByUnmounted(t *testing.T) {
	dir, dev := mountSmall(t)
	greeting(t, dir, dev)
	s, err := StandBy(dev, MountPoint{})
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func over(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// However many ask, no more requests are in flight than may be, of one device and of several
// together; the others wait, and are answered. Each device always has one.
func TestMaxRequests(t *testing.T) {
	const devices, each, together, asking = 3, 6, 8, 20
	load := NewLoad(together)
	release := make(chan struct{})
	var inside, most atomic.Int32
	raise := func(n int32) {
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
	}
	var of [devices]atomic.Int32
	var askers sync.WaitGroup
	var conns []*Conn
	for i := range devices {
		fs := newSmall()
		fs.look = func(name string) fuse.Status {
			if name == "file" {
				return fuse.OK
			}
			if n := of[i].Add(1); n > each {
				t.Errorf("%d requests of a device are carried out", n)
			}
			raise(inside.Add(1))
			<-release
			inside.Add(-1)
			of[i].Add(-1)
			return fuse.ENOENT
		}
		dir, dev := mountSmall(t)
		c := servedWith(t, duplicate(t, dev), fs, Config{Deadline: time.Hour, MaxRequests: each, Load: load})
		conns = append(conns, c)
		for n := range asking {
			askers.Go(func() {
				if _, err := os.Stat(fmt.Sprint(dir, "/", n)); !errors.Is(err, syscall.ENOENT) {
					t.Error(err)
				}
			})
		}
	}
	wait.Until(t, "as many are carried out as may be", func() bool { return inside.Load() >= together })
	for i := range devices {
		wait.Until(t, "each device has one", func() bool { return of[i].Load() > 0 })
	}
	close(release)
	askers.Wait()
	// Several devices may each have found room for the last.
	if n := most.Load(); n < together || n > together+devices {
		t.Errorf("%d requests were carried out at once, of %d", n, together)
	}
	for _, c := range conns {
		wait.Until(t, "nothing is counted any more", func() bool { return c.requests.inFlight() == 0 && load.now.Load() == 0 })
	}
}

// What takes a mount away takes no other: neither what lay below one that somebody else has
// taken away already, nor what was mounted over it.
func TestUnmountIsOfOwnMount(t *testing.T) {
	dir := t.TempDir()
	tmpfs := func() {
		t.Helper()
		if err := unix.Mount("below", dir, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	}
	kind := func() int64 {
		t.Helper()
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		return int64(st.Type)
	}
	tmpfs()
	dev, away, err := Mount(dir, Options{Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if err := away(); err != nil || kind() != unix.TMPFS_MAGIC {
		t.Errorf("what lay below is gone: %v, %x", err, kind())
	}
	over, away, err := Mount(dir, Options{Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer over.Close()
	tmpfs()
	if err := away(); err != nil || kind() != unix.TMPFS_MAGIC {
		t.Errorf("what was mounted over it is gone: %v, %x", err, kind())
	}
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if err := away(); err != nil || kind() != unix.TMPFS_MAGIC {
		t.Errorf("the mount itself stays: %v, %x", err, kind())
	}
}
