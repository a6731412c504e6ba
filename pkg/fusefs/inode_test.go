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

// Whoever keeps the server from hearing what is forgotten makes it hold no more than a bound.
func TestMaxInodes(t *testing.T) {
	const most = 50
	tree := vfstest.NewTree()
	for i := range 2 * most {
		tree.Put(fmt.Sprint(i), vfstest.File{Data: []byte("x")})
	}
	dir, s := mounted(t, tree, Config{MaxInodes: most})
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
	if n := s.fs.inodes.size(); n != most || len(open) >= most {
		t.Errorf("%d inodes, %d files are open", n, len(open))
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
