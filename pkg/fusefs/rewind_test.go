package fusefs

import (
	"io"
	"os"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// A file that may not be kept and is read from its start again, without being
// closed in between, shows what it is now; what follows on a first read belongs
// to it.
func TestRewind(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("counter", vfstest.File{Read: vfstest.Counter("this is content number %d")})
	dir, _ := mounted(t, tree, Config{})
	f, err := os.Open(dir + "/counter")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	read := func() string {
		var first [4]byte
		if _, err := io.ReadFull(f, first[:]); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		return string(first[:]) + string(rest)
	}
	seen := map[string]bool{}
	for range 5 {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		seen[read()] = true
	}
	if len(seen) != 5 {
		t.Errorf("five reads from the start showed %d contents: %v", len(seen), seen)
	}
}
