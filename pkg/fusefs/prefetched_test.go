package fusefs

import (
	"context"
	"errors"
	"github.com/aggrfs/aggrfs/pkg/fusefs/device"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
)

// cached is a file of such a tree.
func cached(text string) vfstest.File {
	return vfstest.File{Data: []byte(text), Hold: time.Hour, Stat: vfstest.Stat{Keep: time.Hour}}
}

// prefetchedTree is a tree with two processes, mounted.
func prefetchedTree(t *testing.T, interval, idle time.Duration) (dir string, s *Server, tree *vfstest.Tree, generation *atomic.Uint64) {
	t.Helper()
	tree, generation = vfstest.NewTree(), new(atomic.Uint64)
	for _, dir := range []string{"1", "2"} {
		tree.Put(dir, vfstest.Dir{Stat: vfstest.Stat{Keep: time.Hour}})
	}
	for _, path := range []string{"1/stat", "1/status", "2/stat", "2/status"} {
		tree.Put(path, cached(path+" one\n"))
	}
	tree.Put("loadavg", cached("0.01\n"))
	dir, s = mounted(t, tree, Config{Prefetched: &Prefetched{Interval: interval, Generation: generation.Load, idle: idle}})
	return dir, s, tree, generation
}

func list(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.ReadDir(dir); err != nil {
		t.Error(err)
	}
}

func expect(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s: %q, %v, want %q", path, got, err, want)
	}
}

// OPEN is answered ENOSYS once; a file that was read costs nothing to read again; and
// what the tree has changed shows as soon as the root has been listed.
func TestPrefetched(t *testing.T) {
	dir, s, tree, generation := prefetchedTree(t, time.Hour, time.Hour)
	list(t, dir)
	files := []string{"1/stat", "1/status", "2/stat", "2/status"}
	for _, path := range files {
		expect(t, dir+"/"+path, path+" one\n")
	}
	asked := func() (all [opcodes]uint64) {
		for op := range uint32(opcodes) {
			all[op] = s.conn.Received(op)
		}
		return all
	}
	before, opens := asked(), s.conn.Received(device.OpOpen)
	for range 10 {
		for _, path := range files {
			expect(t, dir+"/"+path, path+" one\n")
		}
	}
	for op, n := range asked() {
		if n != before[op] {
			t.Errorf("reading again made %d requests with opcode %d", n-before[op], op)
		}
	}
	if opens > 2 { // one is that of the poll hack, which go-fuse answers
		t.Errorf("%d OPENs", opens)
	}
	// Longer, shorter, and another owner.
	tree.Change("1/stat", cached("1/stat two, which is longer\n"))
	tree.Change("1/status", cached("2\n"))
	owned := cached("2/status one\n")
	owned.Stat.UID = 77
	tree.Change("2/status", owned)
	expect(t, dir+"/1/stat", "1/stat one\n") // nobody has said that it is different
	generation.Add(1)
	list(t, dir)
	expect(t, dir+"/1/stat", "1/stat two, which is longer\n")
	expect(t, dir+"/1/status", "2\n")
	expect(t, dir+"/2/stat", "2/stat one\n")
	st, err := os.Stat(dir + "/2/status")
	if err != nil || ownerOf(st) != 77 {
		t.Errorf("owner of 2/status: %v, %v", st, err)
	}
	// A process that ends, and one that comes under its number.
	tree.Remove("2")
	generation.Add(1)
	list(t, dir)
	if _, err := os.ReadFile(dir + "/2/stat"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file of a process that has ended: %v", err)
	}
	tree.Put("2/stat", cached("another\n"))
	generation.Add(1)
	list(t, dir)
	wait.Until(t, "the new process shows", func() bool {
		got, err := os.ReadFile(dir + "/2/stat")
		return err == nil && string(got) == "another\n"
	})
	if _, err := os.Stat(dir + "/1/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a name that is none: %v", err)
	}
}

// A file that says that it is what it was is not read again.
func TestPrefetchedStates(t *testing.T) {
	dir, _, tree, generation := prefetchedTree(t, time.Hour, time.Hour)
	list(t, dir)
	stated := func(text string, state uint64) vfstest.File {
		f := cached(text)
		f.State = state
		return f
	}
	files := []string{"1/stat", "1/status", "2/stat"}
	for _, path := range files {
		tree.Change(path, stated(path+" one\n", 1))
		expect(t, dir+"/"+path, path+" one\n")
	}
	expect(t, dir+"/2/status", "2/status one\n") // which does not know its state
	opened := make(chan string, 100)
	tree.Before(func(_ context.Context, op vfstest.Op, path string) error {
		if op == vfstest.OpOpen {
			opened <- path
		}
		return nil
	})
	tree.Change("1/status", stated("two\n", 2))
	generation.Add(1)
	list(t, dir)
	expect(t, dir+"/1/status", "two\n")
	expect(t, dir+"/1/stat", "1/stat one\n")
	tree.Before(nil)
	close(opened)
	var all []string
	for path := range opened {
		all = append(all, path)
	}
	if slices.Sort(all); !slices.Equal(all, []string{"1/status", "2/status"}) {
		t.Errorf("read again: %q", all)
	}
}

// Somebody who reads and never lists sees what is new within the interval, and after a
// time without any request as well.
func TestPrefetchedByItself(t *testing.T) {
	dir, _, tree, generation := prefetchedTree(t, 20*time.Millisecond, time.Hour)
	expect(t, dir+"/1/stat", "1/stat one\n")
	expect(t, dir+"/loadavg", "0.01\n")
	tree.Change("1/stat", cached("new\n"))
	tree.Change("loadavg", cached("9.99\n"))
	generation.Add(1)
	for path, want := range map[string]string{"/1/stat": "new\n", "/loadavg": "9.99\n"} {
		wait.Until(t, path+" is new", func() bool {
			got, err := os.ReadFile(dir + path)
			return err == nil && string(got) == want
		})
	}
}

func TestPrefetchedIdle(t *testing.T) {
	const idle = 50 * time.Millisecond
	dir, s, tree, _ := prefetchedTree(t, 20*time.Millisecond, idle)
	expect(t, dir+"/1/stat", "1/stat one\n")
	// Nobody says that it has changed: nobody is asked while the mount is idle.
	tree.Change("1/stat", cached("later\n"))
	wait.Until(t, "what is known is dropped", func() bool {
		for _, i := range s.fs.inodes.known() {
			i.loaded.mu.Lock()
			there := i.loaded.there
			i.loaded.mu.Unlock()
			if there {
				return false
			}
		}
		return true
	})
	// A look that was under way may still end.
	wait.Until(t, "there are no calls into the tree of a mount that nobody uses", func() bool {
		calls := tree.Calls()
		time.Sleep(5 * idle)
		return tree.Calls() == calls
	})
	wait.Until(t, "it is new", func() bool {
		got, err := os.ReadFile(dir + "/1/stat")
		return err == nil && string(got) == "later\n"
	})
}

// A mount for all users cannot be of this kind: who opens a file is not asked.
func TestPrefetchedShared(t *testing.T) {
	tree := vfstest.NewTree()
	s, err := Mount(t.TempDir(), Config{
		Attach: func(ctx context.Context, who vfs.Identity) (vfs.Node, error) { return tree.Attach(ctx, who, "") },
		Shared: true, Prefetched: &Prefetched{Interval: time.Second, Generation: func() uint64 { return 0 }},
	})
	if err == nil || !strings.Contains(err.Error(), "all users") {
		t.Errorf("%v", err)
		if err == nil {
			s.Close()
		}
	}
}

func ownerOf(st os.FileInfo) uint32 { return st.Sys().(*syscall.Stat_t).Uid }
