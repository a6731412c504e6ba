package procfs9p

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// tarpit makes reads of one file block, as a page that never comes does.
type tarpit struct {
	suffix string // of the file's path
	free   chan struct{}
	once   sync.Once
}

// newTarpit blocks the reads that l makes of path, until the test ends.
func newTarpit(t *testing.T, l *Leaf, path string) *tarpit {
	p := &tarpit{suffix: path, free: make(chan struct{})}
	l.read = func(fd int, b []byte) (int, error) {
		if name, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); strings.HasSuffix(name, p.suffix) {
			<-p.free
		}
		return unix.Read(fd, b)
	}
	t.Cleanup(p.release)
	return p
}

func (p *tarpit) release() { p.once.Do(func() { close(p.free) }) }

func TestBlockedRead(t *testing.T) {
	sick, well := strconv.Itoa(quiet(t, nil)), strconv.Itoa(quiet(t, nil))
	l := newLeaf(t, Config{ReadTimeout: 50 * time.Millisecond})
	root := attach(t, l, vfs.Root, "")
	pit := newTarpit(t, l, "/"+sick+"/cmdline")

	if _, err := read(t, root, sick, "cmdline"); vfs.Errno(err) != syscall.ETIMEDOUT {
		t.Fatalf("blocked read: %v", err)
	}
	if n := l.Abandoned(); n != 1 {
		t.Errorf("%d reads abandoned", n)
	}
	// What may block of the same process is refused at once, not tried.
	if _, err := read(t, root, sick, "environ"); vfs.Errno(err) != syscall.ETIMEDOUT {
		t.Errorf("environ: %v", err)
	}
	if _, err := read(t, root, sick, "task", sick, "maps"); vfs.Errno(err) != syscall.ETIMEDOUT {
		t.Errorf("maps: %v", err)
	}
	if n := l.Abandoned(); n != 1 {
		t.Errorf("%d reads abandoned after refusals", n)
	}
	// Its other files, and other processes, are well.
	if _, err := read(t, root, sick, "stat"); err != nil {
		t.Errorf("stat: %v", err)
	}
	if _, err := read(t, root, well, "cmdline"); err != nil {
		t.Errorf("another process: %v", err)
	}
	pit.release()
	waitFor(t, "end of the blocked read", func() bool { return l.Abandoned() == 0 })
	if _, err := read(t, root, sick, "cmdline"); err != nil {
		t.Errorf("after the end: %v", err)
	}
}

func TestBlockedReadCancelled(t *testing.T) {
	sick := strconv.Itoa(quiet(t, nil))
	l := newLeaf(t, Config{ReadTimeout: time.Hour})
	root := attach(t, l, vfs.Root, "")
	pit := newTarpit(t, l, "/"+sick+"/environ")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := vfs.ReadFile(ctx, root, 1<<20, sick, "environ"); vfs.Errno(err) != syscall.ETIMEDOUT {
		t.Errorf("%v", err)
	}
	pit.release()
	waitFor(t, "end of the blocked read", func() bool { return l.Abandoned() == 0 })
}

// TestManyBlocked fills all places for reads left behind.
func TestManyBlocked(t *testing.T) {
	g := newGuard(time.Millisecond, 3)
	free := make(chan struct{})
	block := func() (int, error) { <-free; return 0, nil }
	for key := range uint64(3) {
		if _, err := apart(t.Context(), g, key, block); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Fatal(err)
		}
	}
	if err := g.refused(99); !errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("one too many: %v", err)
	}
	close(free)
	waitFor(t, "free place", func() bool { return g.stuckCount() == 0 })
	if err := g.refused(0); err != nil {
		t.Error(err)
	}
	if _, err := apart(t.Context(), g, 0, func() (int, error) { panic("oh") }); vfs.Errno(err) != syscall.EIO {
		t.Errorf("panic: %v", err)
	}
	if left := g.close(); left != 0 {
		t.Errorf("%d left", left)
	}
	if _, err := inPlace(t.Context(), g, block); !errors.Is(err, syscall.ESHUTDOWN) {
		t.Errorf("after close: %v", err)
	}
}

// TestCloseWhileBlocked closes a leaf that has a read stuck.
func TestCloseWhileBlocked(t *testing.T) {
	sick := strconv.Itoa(quiet(t, nil))
	l, err := New(Config{ReadTimeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	root := attach(t, l, vfs.Root, "")
	pit := newTarpit(t, l, "/"+sick+"/cmdline")
	if _, err := read(t, root, sick, "cmdline"); vfs.Errno(err) != syscall.ETIMEDOUT {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := read(t, root, sick, "stat"); !errors.Is(err, syscall.ESHUTDOWN) {
		t.Errorf("after close: %v", err)
	}
	pit.release()
	waitFor(t, "end of the blocked read", func() bool { return l.Abandoned() == 0 })
}

// TestSweepOverBlocked sweeps while one process blocks its readers: everything
// but that one file is delivered, and the next sweep does not wait for it.
func TestSweepOverBlocked(t *testing.T) {
	sick := quiet(t, nil)
	l := newLeaf(t, Config{StallTimeout: 30 * time.Millisecond})
	pit := newTarpit(t, l, "/"+strconv.Itoa(sick)+"/cmdline")
	files := []string{"stat", "cmdline", "status"}
	for range 3 {
		table := sweep(t, l, snapshot.Request{Files: files})
		i, ok := table.Find(int32(sick))
		if !ok {
			t.Fatal("the process is missing")
		}
		if _, errno := table.File(i, 1); errno != syscall.ETIMEDOUT {
			t.Errorf("cmdline: %v", errno)
		}
		for _, k := range []int{0, 2} {
			if content, errno := table.File(i, k); errno != 0 || len(content) == 0 {
				t.Errorf("%s: %q, %v", files[k], content, errno)
			}
		}
		if table.Skipped() != 0 || i == table.Len()-1 && table.Len() < 5 {
			t.Errorf("%d processes, %d skipped", table.Len(), table.Skipped())
		}
		if _, ok := table.Find(int32(os.Getpid())); !ok {
			t.Error("other processes are missing")
		}
		if n := l.Abandoned(); n != 1 {
			t.Errorf("%d reads abandoned", n)
		}
	}
	pit.release()
	waitFor(t, "end of the blocked read", func() bool { return l.Abandoned() == 0 })
	table := sweep(t, l, snapshot.Request{Files: files})
	i, _ := table.Find(int32(sick))
	if _, errno := table.File(i, 1); errno != 0 {
		t.Errorf("after the end: %v", errno)
	}
}

// TestSweepDeadline runs out of time within a blocked read.
func TestSweepDeadline(t *testing.T) {
	sick := quiet(t, nil)
	l := newLeaf(t, Config{StallTimeout: 50 * time.Millisecond, SweepTimeout: 60 * time.Millisecond})
	// All that come after one process block, too.
	l.read = func(fd int, b []byte) (int, error) {
		if name, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); strings.HasSuffix(name, "/cmdline") {
			time.Sleep(40 * time.Millisecond)
		}
		return unix.Read(fd, b)
	}
	table := sweep(t, l, snapshot.Request{Files: []string{"stat", "cmdline"}})
	if table.Skipped() == 0 || table.Len() == 0 {
		t.Errorf("%d processes, %d skipped", table.Len(), table.Skipped())
	}
	if _, ok := table.Find(int32(sick)); ok {
		t.Error("visited in spite of the deadline")
	}
}
