package fusefs

import (
	"context"
	"fmt"
	"github.com/aggrfs/aggrfs/pkg/fusefs/device"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
	"golang.org/x/sys/unix"
)

// putProc makes a directory as a process has it.
func putProc(tree *vfstest.Tree, name string) {
	long := vfstest.Stat{Keep: time.Hour}
	for _, file := range []string{"stat", "status"} {
		tree.Put(name+"/"+file, vfstest.File{Stat: long, Data: []byte(name), Hold: time.Hour})
	}
	tree.Put(name, vfstest.Dir{Stat: long})
	for _, file := range []string{"stat", "status"} {
		tree.Put(name+"/"+file, vfstest.File{Stat: long, Data: []byte(name), Hold: time.Hour})
	}
}

// readAll lists dir as ps does and reads two files of each entry.
func readAll(t *testing.T, dir string) (names int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	for _, e := range entries {
		for _, file := range []string{"stat", "status"} {
			got, err := os.ReadFile(filepath.Join(dir, e.Name(), file))
			if err != nil || string(got) != e.Name() {
				t.Errorf("%s/%s: %q, %v", e.Name(), file, got, err)
			}
		}
	}
	return len(entries)
}

// TestPrune: thousands of entries come and go between listings, and the
// server's inodes stay those of the entries that are there.
func TestPrune(t *testing.T) {
	for what, c := range map[string]struct {
		cfg   Config
		mount mounter
	}{
		"of one user": {Config{}, inProcess}, "shared": {Config{Shared: true}, inProcess},
		"handed over": {Config{}, handedTo(&writer{write: true, done: true})},
	} {
		cfg := c.cfg
		t.Run(what, func(t *testing.T) {
			const (
				stay   = 50
				rounds = 20
				each   = 100 // entries that live for one round
				inodes = 3   // of an entry: the directory and its files
			)
			tree := vfstest.NewTree()
			for i := range stay {
				putProc(tree, fmt.Sprint(i+1))
			}
			dir, s := c.mount(t, tree, cfg)
			most := 0
			churn := func(round int) {
				for i := range each {
					putProc(tree, fmt.Sprint(1000+round*each+i))
				}
				if n := readAll(t, dir); n != stay+each {
					t.Fatalf("round %d: %d entries", round, n)
				}
				most = max(most, s.fs.inodes.size())
				for i := range each {
					tree.Remove(fmt.Sprint(1000 + round*each + i))
				}
				readAll(t, dir)
				wait.Until(t, "what is gone is forgotten", func() bool {
					if s.fs.inodes.size() <= 1+stay*inodes {
						return true
					}
					os.ReadDir(dir) // what a slow moment left is dropped by the next listing
					return false
				})
			}
			for round := range rounds {
				churn(round)
			}
			// A name whose file the kernel has not said to be closed yet has another inode.
			if limit := 1 + (stay+each)*inodes + each/10; most > limit {
				t.Errorf("%d inodes at most, not %d", most, limit)
			}
			if cfg.Shared {
				return
			}
			// What stayed was not touched: it is known still, but where the machine has dropped
			// its caches meanwhile, or was slow.
			round := rounds
			wait.For(t, "what stayed is known", func() error {
				churn(round)
				round++
				before := s.conn.Received(device.OpLookup)
				readAll(t, dir)
				if n := s.conn.Received(device.OpLookup) - before; n > stay/5 {
					return fmt.Errorf("%d names that did not change were looked up again", n)
				}
				return nil
			})
		})
	}
}

// TestPruneReturn: a name that ended and came back is found, as the same
// object or another, and what is open meanwhile stays readable.
func TestPruneReturn(t *testing.T) {
	tree := vfstest.NewTree()
	putProc(tree, "1")
	putProc(tree, "2")
	dir, s := mounted(t, tree, Config{})
	for round := range 50 {
		readAll(t, dir)
		f, err := os.Open(dir + "/2/stat")
		if err != nil {
			t.Fatal(err)
		}
		tree.Remove("2")
		if n := readAll(t, dir); n != 1 {
			t.Errorf("%d entries, not 1", n)
		}
		got := make([]byte, 9)
		if n, err := f.Read(got); string(got[:n]) != "2" {
			t.Errorf("a file that was open: %q, %v", got[:n], err)
		}
		if round%2 == 0 {
			time.Sleep(3 * time.Millisecond) // the name is dropped before the file is closed
		}
		f.Close()
		wait.Until(t, "2 is forgotten", func() bool { return s.fs.inodes.size() <= 4 })
		if _, err := os.Stat(dir + "/2"); !os.IsNotExist(err) {
			t.Errorf("what is gone: %v", err)
		}
		putProc(tree, "2")
		if got, err := os.ReadFile(dir + "/2/status"); string(got) != "2" {
			t.Errorf("what came back: %q, %v", got, err)
		}
	}
}

// TestPruneUnlisted: a name that can be walked but is never listed, and one that
// a listing did not get to, are left alone.
func TestPruneUnlisted(t *testing.T) {
	tree := vfstest.NewTree()
	for i := range 2000 {
		putProc(tree, fmt.Sprint(10_000+i))
	}
	dir, s := mounted(t, tree, Config{})
	hidden := s.fs.inodes.enter(s.fs.inodes.get(rootID), "hidden", synthRoot{&synth{}}, false, s.fs.viewers.sole)
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	// The names are known afterwards, but where the machine has dropped its caches meanwhile.
	wait.For(t, "a listing with a gap drops nothing", func() error {
		os.ReadDir(dir)
		unix.Seek(fd, 0, 0)
		_, offsets := getdents(t, fd, 4096)
		unix.Seek(fd, offsets[len(offsets)-1]+1000, 0) // a gap
		for {
			if names, _ := getdents(t, fd, 32<<10); len(names) == 0 {
				break
			}
		}
		before := s.conn.Received(device.OpLookup)
		for i := range 2000 {
			if _, err := os.Lstat(fmt.Sprint(dir, "/", 10_000+i)); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.conn.Received(device.OpLookup) - before; n > 100 { // those of a slow moment
			return fmt.Errorf("%d names were dropped", n)
		}
		return nil
	})
	root := s.fs.inodes.get(rootID)
	if s.fs.inodes.anyEnded(root, s.fs.inodes.listings+1, 0) != true || s.fs.inodes.get(hidden.id) == nil {
		t.Error("nothing is listed, or what never was is dropped")
	}
	os.ReadDir(dir)
	if hidden.listed.number != 0 || s.fs.inodes.get(hidden.id) != hidden {
		t.Error("a name that is never listed was dropped")
	}
}

// TestPruneStalled: names come and go in a directory in which LOOKUPs of another
// name take as long as they may. Nobody waits for long, what has ended is dropped
// in between, and the server ends in the middle of it.
func TestPruneStalled(t *testing.T) {
	const deadline = 200 * time.Millisecond
	tree := vfstest.NewTree()
	tree.Put("fine", vfstest.File{})
	tree.Before(func(ctx context.Context, op vfstest.Op, path string) error {
		if op == vfstest.OpWalk && path == "slow" {
			return vfstest.Block(ctx)
		}
		return nil
	})
	dir, s := mounted(t, tree, Config{Deadline: deadline})
	var over atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; !over.Load(); i++ {
			tree.Put(fmt.Sprint(i), vfstest.Dir{Stat: vfstest.Stat{Keep: time.Hour}})
			os.ReadDir(dir)
			tree.Remove(fmt.Sprint(i))
		}
	})
	for _, name := range []string{"slow", "fine", "nothing"} {
		wg.Go(func() {
			for !over.Load() {
				start := time.Now()
				_, err := os.Lstat(filepath.Join(dir, name))
				if took := time.Since(start); took > 8*deadline {
					t.Errorf("%s: %v after %v", name, err, took)
				}
				time.Sleep(deadline / 10)
			}
		})
	}
	time.Sleep(5 * deadline)
	wait.Until(t, "what has ended is dropped", func() bool { return s.fs.inodes.size() < 50 })
	start := time.Now()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if took := time.Since(start); took > 8*deadline {
		t.Errorf("close took %v", took)
	}
	over.Store(true)
	wg.Wait()
}
