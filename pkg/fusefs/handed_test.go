package fusefs

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

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
