package fusefs

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
)

// TestTakeBack gives back what an answer brought that came too late.
func TestTakeBack(t *testing.T) {
	var table inodes
	root := &inode{id: rootID}
	table.init(root, 0, func(*inode) {})
	n := synthRoot{&synth{}}
	i := table.enter(root, "a", n, false, 0)
	if again := table.enter(root, "a", n, false, 0); again != i || i.lookups != 2 {
		t.Errorf("the same name is another inode")
	}
	table.forget(i.id, 1)
	if table.get(i.id) != i {
		t.Error("forgotten too early")
	}
	table.forget(i.id, 5)
	table.forget(rootID, 5)
	if table.get(i.id) != nil || table.get(rootID) != root || table.size() != 1 {
		t.Error("not forgotten, or the root is")
	}
	if fresh := table.enter(root, "a", n, false, 0); fresh.id == i.id {
		t.Error("a node id was used twice")
	}
}

// Whoever keeps the server from hearing what is forgotten makes it hold no more than a bound,
// over all mounts.
func TestMostInodes(t *testing.T) {
	const most = 50
	tree := vfstest.NewTree()
	for i := range 2 * most {
		tree.Put(fmt.Sprint(i), vfstest.File{Data: []byte("x")})
	}
	account := NewAccount(Limit{Requests: 100, Inodes: most, Bytes: 1 << 30})
	dir, s := mounted(t, tree, Config{Account: account})
	other, _ := mounted(t, tree, Config{Account: account})
	list(t, dir)
	var open []*os.File
	for i := range 2 * most {
		f, err := os.Open(fmt.Sprint(dir, "/", i))
		if errors.Is(err, syscall.ENFILE) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, f)
	}
	if n := s.fs.inodes.size(); n != most+1 || len(open) > most || account.inodes.now.Load() != most {
		t.Errorf("%d inodes, %d files are open, %d count", n, len(open), account.inodes.now.Load())
	}
	if _, err := os.ReadFile(fmt.Sprint(other, "/0")); !errors.Is(err, syscall.ENFILE) {
		t.Errorf("another mount on the account: %v", err)
	}
	for _, f := range open {
		f.Close()
	}
	wait.Until(t, "there is room again", func() bool {
		dropCaches(t)
		_, err := os.ReadFile(fmt.Sprint(dir, "/", 2*most-1))
		return err == nil
	})
}

// What is open counts, over all mounts, and nothing of it once the mounts have ended.
func TestMostBytes(t *testing.T) {
	const size, fit = 100 << 10, 3
	tree := vfstest.NewTree()
	for i := range 2 * fit {
		tree.Put(fmt.Sprint("dir/", i), vfstest.File{Data: make([]byte, size)})
	}
	account := NewAccount(Limit{Requests: 100, Inodes: 1 << 20, Bytes: (fit + 1) * size})
	for name, cfg := range map[string]Config{"one user's": {}, "shared": {Shared: true}} {
		t.Run(name, func(t *testing.T) {
			cfg.Account = account
			dir, s := mounted(t, tree, cfg)
			var open []*os.File
			for i := range 2 * fit {
				f, err := os.Open(fmt.Sprint(dir, "/dir/", i))
				if errors.Is(err, syscall.ENFILE) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				open = append(open, f)
			}
			if len(open) != fit {
				t.Errorf("%d files are open, and %d have room", len(open), fit)
			}
			for _, f := range open[1:] {
				f.Close()
			}
			wait.Until(t, "there is room again", func() bool {
				f, err := os.Open(fmt.Sprint(dir, "/dir/", fit))
				if err == nil {
					f.Close()
				}
				return err == nil
			})
			list(t, dir+"/dir")
			open[0].Close()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if bytes, inodes := account.bytes.now.Load(), account.inodes.now.Load(); bytes != 0 || inodes != 0 {
				t.Errorf("%d bytes and %d inodes count after the end", bytes, inodes)
			}
		})
	}
}
