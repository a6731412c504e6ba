package fusefs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/fusefs/device"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
	"golang.org/x/sys/unix"
)

// A writer is a Notifier as a command has it that keeps a device: it writes what comes, in
// order, when it gets to it.
type writer struct {
	dev   *os.File
	delay time.Duration // before each
	write bool
	done  bool // it tells how that went

	mu    sync.Mutex
	queue []notice
	some  chan struct{} // holds one
	sent  int
}

type notice struct {
	message []byte
	done    func(error)
}

var errGone = errors.New("the other side has gone")

func (w *writer) Notify(message []byte, done func(error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent++
	w.queue = append(w.queue, notice{message, done})
	select {
	case w.some <- struct{}{}:
	default:
	}
}

func (w *writer) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-w.some:
		}
		w.mu.Lock()
		queue := w.queue
		w.queue = nil
		w.mu.Unlock()
		for _, n := range queue {
			select {
			case <-stop:
				return
			case <-time.After(w.delay):
			}
			err := errGone
			if w.write {
				err = Write(w.dev, n.message)
			}
			if w.done && n.done != nil {
				n.done(err)
			}
		}
	}
}

// total is how many notifications there were.
func (w *writer) total() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}

// writers are those that there can be.
func writers() map[string]*writer {
	return map[string]*writer{
		"prompt":               {write: true, done: true},
		"slow":                 {write: true, done: true, delay: 3 * time.Millisecond},
		"silent":               {write: true},
		"gone":                 {done: true},
		"neither":              {},
		"very slow and silent": {write: true, delay: 20 * time.Millisecond},
	}
}

// mountedDevice mounts a device that nobody serves yet.
func mountedDevice(t testing.TB, cfg Config) (dir string, dev *os.File) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	dev, err := OpenDevice()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	if err := MountAt(dir, int(dev.Fd()), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, dev
}

// servedFor serves a device, of which it gets a descriptor of its own, for the rest of the
// test.
func servedFor(t testing.TB, dev *os.File, tree *vfstest.Tree, dir string, cfg Config) *Server {
	t.Helper()
	fd, err := unix.FcntlInt(dev.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Attach == nil {
		cfg.Attach = attach(tree)
	}
	cfg.Log = slog.New(slog.NewTextHandler(&testLog{t: t}, nil))
	s, err := Serve(os.NewFile(uintptr(fd), dev.Name()), cfg)
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
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.WaitMounted(ctx); err != nil {
		t.Fatal(err)
	}
	(&Server{dir: dir}).settlePoll()
	return s
}

// handedTo mounts for a server whose notifications w writes.
func handedTo(w *writer) mounter {
	return func(t testing.TB, tree *vfstest.Tree, cfg Config) (string, *Server) {
		t.Helper()
		w.some = make(chan struct{}, 1)
		dir, dev := mountedDevice(t, cfg)
		w.dev = dev
		stop := make(chan struct{})
		var writing sync.WaitGroup
		writing.Go(func() { w.run(stop) })
		t.Cleanup(func() { close(stop); writing.Wait() })
		cfg.Notifier = w
		return dir, servedFor(t, dev, tree, dir, cfg)
	}
}

// handedTime is how long each kind of file is read with each kind of writer.
const handedTime = 200 * time.Millisecond

// TestVersionsOfHanded is TestVersions where the server does not know when the kernel hears
// of its notifications, if ever.
func TestVersionsOfHanded(t *testing.T) {
	for name, w := range writers() {
		t.Run(name, func(t *testing.T) { testVersions(t, allLengths, handedTo(w), handedTime) })
	}
}

func TestVersionsOfLikeSizeOfHanded(t *testing.T) {
	all := writers()
	for _, name := range []string{"prompt", "slow", "silent"} {
		w := all[name]
		t.Run(name, func(t *testing.T) { testVersions(t, []int{4094, 4095, 4096}, handedTo(w), handedTime) })
	}
}

// With a size of which the kernel is told at once, files are read from the page cache, and
// made once for the LOOKUP and the OPEN that follows it.
func TestHandedFew(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("1", vfstest.Dir{Stat: vfstest.Stat{Keep: time.Hour}})
	var opened atomic.Int64
	tree.Before(func(_ context.Context, op vfstest.Op, _ string) error {
		if op == vfstest.OpOpen {
			opened.Add(1)
		}
		return nil
	})
	w := &writer{write: true, done: true}
	dir, s := handedTo(w)(t, tree, Config{})
	attempt := 0
	// The machine may drop its caches at any time, and then there is more to ask.
	wait.For(t, "little is asked", func() error {
		attempt++
		return handedFew(t, dir, s, w, tree, &opened, fmt.Sprintf("1/stat%d", attempt))
	})
}

// handedFew reads a file that changes, and counts.
func handedFew(t *testing.T, dir string, s *Server, w *writer, tree *vfstest.Tree, opened *atomic.Int64, name string) error {
	t.Helper()
	file := func(text string, state uint64) vfstest.File {
		return vfstest.File{Stat: vfstest.Stat{Keep: time.Hour}, Data: []byte(text), Hold: time.Hour, State: state}
	}
	path := dir + "/" + name
	opens, reads, notices := opened.Load(), s.conn.Received(device.OpRead), w.total()
	asked := func(what string, o int64, r uint64, n int) error {
		o, r, n = opened.Load()-opens-o, s.conn.Received(device.OpRead)-reads-r, w.total()-notices-n
		if o != 0 || r != 0 || n != 0 {
			return fmt.Errorf("%s: %d opens, %d reads, %d notifications too many", what, o, int64(r), n)
		}
		return nil
	}
	size := func(want int64) {
		if st, err := os.Stat(path); err != nil || st.Size() != want {
			t.Errorf("size %d, %v, want %d", st.Size(), err, want)
		}
	}
	change := func(text string, state uint64) {
		wait.Until(t, "closed", func() bool { return tree.Handles() == 0 })
		tree.Change(name, file(text, state))
		expect(t, path, text)
	}
	tree.Put(name, file("content", 1))
	expect(t, path, "content")
	size(7)
	err := asked("a look", 1, 1, 0)
	expect(t, path, "content")
	err = errors.Join(err, asked("what is in the page cache", 2, 1, 0))
	change("CONTENT", 2) // the kernel drops the pages itself
	err = errors.Join(err, asked("another content of the same size", 3, 2, 0))
	change("longer content", 3)
	wait.Until(t, "the page cache has another size", func() bool {
		before := s.conn.Received(device.OpRead)
		expect(t, path, "longer content")
		return s.conn.Received(device.OpRead) == before
	})
	size(14)
	if n := w.total() - notices; n != 1 {
		err = errors.Join(err, fmt.Errorf("%d notifications for another size", n))
	}
	return err
}

// Prefetched files are right after a listing where notifications are heard of, and nothing
// waits longer than its deadline where they are not.
func TestPrefetchedHanded(t *testing.T) {
	for name, w := range writers() {
		t.Run(name, func(t *testing.T) {
			tree := vfstest.NewTree()
			tree.Put("1", vfstest.Dir{Stat: vfstest.Stat{Keep: time.Hour}})
			tree.Put("1/stat", cached("one\n"))
			var mu sync.Mutex
			generation := uint64(0)
			dir, _ := handedTo(w)(t, tree, Config{Deadline: 300 * time.Millisecond, Prefetched: &Prefetched{
				Interval: time.Hour, idle: time.Hour,
				Generation: func() uint64 { mu.Lock(); defer mu.Unlock(); return generation },
			}})
			list(t, dir)
			expect(t, dir+"/1/stat", "one\n")
			for range 3 {
				for _, text := range []string{"another\n", "two\n"} {
					tree.Change("1/stat", cached(text))
					mu.Lock()
					generation++
					mu.Unlock()
					list(t, dir)
					if w.write && w.done {
						expect(t, dir+"/1/stat", text)
					}
				}
			}
		})
	}
}
