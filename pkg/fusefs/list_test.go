package fusefs

import (
	"fmt"
	"github.com/aggrfs/aggrfs/pkg/fusefs/device"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
	"golang.org/x/sys/unix"
)

// getdents reads on in an open directory with one getdents64(2) of size bytes.
// It returns the names and the offset behind each.
func getdents(t *testing.T, fd, size int) (names []string, offsets []int64) {
	t.Helper()
	buf := make([]byte, size)
	n, err := unix.Getdents(fd, buf)
	if err != nil {
		t.Fatal(err)
	}
	for buf = buf[:n]; len(buf) > 0; { // struct linux_dirent64
		ino, off, length := le64(buf), le64(buf[8:]), int(buf[16])|int(buf[17])<<8
		name, _, _ := strings.Cut(string(buf[19:length]), "\x00")
		if ino == 0 {
			t.Errorf("%q has no inode number", name)
		}
		names, offsets = append(names, name), append(offsets, int64(off))
		buf = buf[length:]
	}
	return names, offsets
}

func le64(b []byte) (v uint64) {
	for i := range 8 {
		v |= uint64(b[i]) << (8 * i)
	}
	return v
}

func TestListing(t *testing.T) {
	const entries = 5000
	tree := vfstest.NewTree()
	want := []string{".", ".."}
	for i := range entries {
		name := fmt.Sprint(10_000_001 + i*7)
		want = append(want, name)
		tree.Put(name+"/stat", vfstest.File{})
		tree.Put(name, vfstest.Dir{Stat: vfstest.Stat{Keep: time.Hour, UID: uint32(i)}})
	}
	dir, s := mounted(t, tree, Config{plusTime: time.Minute})
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var all []string
	var offsets []int64
	// Attributes come with the names, and are there still but where the machine has dropped
	// its caches meanwhile, or was slow.
	wait.For(t, "attributes come with the names", func() error {
		unix.Seek(fd, 0, 0)
		all, offsets = nil, nil
		for {
			names, offs := getdents(t, fd, 32<<10)
			if len(names) == 0 {
				break
			}
			all, offsets = append(all, names...), append(offsets, offs...)
		}
		if !slices.Equal(all, want) {
			t.Fatalf("%d names, not %d in order", len(all), len(want))
		}
		before := s.conn.Received(device.OpLookup) + s.conn.Received(device.OpGetattr)
		for i := range entries {
			var st unix.Stat_t
			if err := unix.Lstat(dir+"/"+want[i+2], &st); err != nil || st.Uid != uint32(i) {
				t.Fatalf("%s: uid %d, %v", want[i+2], st.Uid, err)
			}
		}
		if n := s.conn.Received(device.OpLookup) + s.conn.Received(device.OpGetattr) - before; n > entries/20 {
			return fmt.Errorf("%d further requests for attributes", n)
		}
		return nil
	})
	// seekdir(3) to anywhere, while entries go.
	for _, at := range []int{0, 1, 2, 17, 170, 2500, 4990, entries + 1} {
		if at > 2 && at < entries {
			tree.Remove(want[at]) // the entry that is resumed behind
		}
		if _, err := unix.Seek(fd, offsets[at], 0); err != nil {
			t.Fatal(err)
		}
		names, _ := getdents(t, fd, 1024)
		next := want[at+1:]
		if n := min(len(names), 10); len(next) > 0 && n == 0 || !slices.Equal(names[:n], next[:n]) {
			t.Errorf("behind entry %d: %q", at, names[:n])
		}
	}
	// rewinddir(3) reads anew.
	tree.Put("new", vfstest.Dir{})
	unix.Seek(fd, 0, 0)
	names, err := os.ReadDir(dir)
	if err != nil || !slices.ContainsFunc(names, func(e os.DirEntry) bool { return e.Name() == "new" }) {
		t.Errorf("%d names without the new one, %v", len(names), err)
	}
}

// TestForget looks names up while the kernel is made to forget them.
func TestForget(t *testing.T) {
	tree := vfstest.NewTree()
	for i := range 300 {
		for _, name := range []string{"stat", "status"} {
			tree.Put(fmt.Sprintf("%d/%s", i, name), vfstest.File{Stat: vfstest.Stat{Keep: time.Hour}, Data: []byte(name), Hold: time.Hour})
		}
		tree.Put(fmt.Sprint(i), vfstest.Dir{Stat: vfstest.Stat{Keep: time.Hour}})
		for _, name := range []string{"stat", "status"} {
			tree.Put(fmt.Sprintf("%d/%s", i, name), vfstest.File{Stat: vfstest.Stat{Keep: time.Hour}, Data: []byte(name), Hold: time.Hour})
		}
	}
	dir, s := mounted(t, tree, Config{})
	end := time.Now().Add(1500 * time.Millisecond)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := 0; time.Now().Before(end); i = (i + 1) % 300 {
				for _, name := range []string{"stat", "status"} {
					if got, err := os.ReadFile(fmt.Sprintf("%s/%d/%s", dir, i, name)); string(got) != name {
						t.Errorf("%d/%s: %q, %v", i, name, got, err)
						return
					}
				}
				if i%100 == 0 {
					os.ReadDir(dir)
				}
			}
		})
	}
	drop := func() {
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0); err != nil {
			t.Error(err)
		}
	}
	for time.Now().Before(end) {
		drop()
		time.Sleep(20 * time.Millisecond)
	}
	wg.Wait()
	// Dropping takes a pass for each level, and spares what was used last.
	wait.Until(t, "all forgotten", func() bool { drop(); return s.fs.inodes.size() == 1 })
	if n := len(s.fs.inodes.byName); n != 0 {
		t.Errorf("%d names are left", n)
	}
}
