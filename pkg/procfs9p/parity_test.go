package procfs9p

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/google/go-cmp/cmp"
)

// TestQuietProcess compares everything below a process that does nothing with
// the kernel's own /proc: names, types, attributes, links, and every byte.
func TestQuietProcess(t *testing.T) {
	pid := quiet(t, nil)
	root := attach(t, newLeaf(t, Config{}), vfs.Root, "")
	n, err := root.Walk(t.Context(), strconv.Itoa(pid))
	if err != nil {
		t.Fatal(err)
	}
	files := compareTree(t, n, procPath(pid, ""), "")
	if files < 80 {
		t.Errorf("only %d objects compared", files)
	}
}

// changing are files of a process that differ at every read: clocks and
// statistics of the whole machine.
var changing = map[string]bool{"mountstats": true, "sched": true}

func compareTree(t *testing.T, n vfs.Node, native, rel string) (objects int) {
	objects = 1
	where := filepath.Join(native, rel)
	compareAttr(t, n, where)
	switch n := n.(type) {
	case vfs.Link:
		want, wantErr := os.Readlink(where)
		got, err := n.Readlink(t.Context())
		if got != want || vfs.Errno(err) != vfs.Errno(wantErr) {
			t.Errorf("%s: link %q, %v; native %q, %v", where, got, err, want, wantErr)
		}
	case vfs.File:
		compareContent(t, n, where, rel)
	case vfs.Dir:
		if rel == "net" || strings.HasSuffix(rel, "/net") {
			return objects // the machine's, not the process's
		}
		entries := list(t, n)
		compareNames(t, entries, where, rel)
		for _, e := range entries {
			c, err := n.Walk(t.Context(), e.Name)
			if err != nil {
				t.Errorf("%s: walk to %s: %v", where, e.Name, err)
				continue
			}
			if c.ID() != e.ID || c.Type() != e.Type {
				t.Errorf("%s/%s: listed as %x %o, walked as %x %o", where, e.Name, e.ID, e.Type, c.ID(), c.Type())
			}
			objects += compareTree(t, c, native, filepath.Join(rel, e.Name))
		}
	}
	return objects
}

func compareAttr(t *testing.T, n vfs.Node, where string) {
	t.Helper()
	got, err := n.Attr(t.Context())
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	var st syscall.Stat_t
	if err := syscall.Lstat(where, &st); err != nil {
		t.Error(err)
		return
	}
	want := got
	want.ID, want.Mode, want.UID, want.GID = n.ID(), st.Mode, st.Uid, st.Gid
	want.Nlink, want.Size = uint32(st.Nlink), uint64(st.Size)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: %s", where, d)
	}
	if got.Mtime.UnixNano() != st.Mtim.Nano() && got.Type() == vfs.TypeDir {
		t.Errorf("%s: mtime %v", where, got.Mtime)
	}
}

func compareContent(t *testing.T, n vfs.File, where, rel string) {
	t.Helper()
	if changing[procfile.InThread(rel)] {
		return
	}
	// A process that starts, ends or has a signal elsewhere changes how often a
	// library is mapped and how many signals its user has queued, and may change
	// it back at once: a fault is what differs every time.
	for try := 0; ; try++ {
		want, wantErr := os.ReadFile(where)
		var got []byte
		h, err := n.Open(t.Context())
		if err == nil {
			got = bytes.Clone(h.(vfs.Held).Content())
			h.Close()
		}
		if vfs.Errno(err) == vfs.Errno(wantErr) && bytes.Equal(got, want) {
			return
		}
		if try >= 50 {
			t.Errorf("%s: %v; native %v: %s", where, err, wantErr, cmp.Diff(string(want), string(got)))
			return
		}
	}
}

// compareNames holds a listing against the native one, less what is hidden.
func compareNames(t *testing.T, entries []vfs.DirEntry, where, rel string) {
	t.Helper()
	native, err := os.ReadDir(where)
	if err != nil {
		t.Error(err)
		return
	}
	var want, got []string
	for _, e := range native {
		if !procfile.Process.Hidden(filepath.Join(rel, e.Name())) {
			want = append(want, e.Name())
		}
	}
	last := uint64(0)
	for _, e := range entries {
		got = append(got, e.Name)
		if e.Next <= last {
			t.Errorf("%s: %s at %d after %d", where, e.Name, e.Next, last)
		}
		last = e.Next
	}
	slices.Sort(got)
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: %s", where, d)
	}
}

// TestRootFiles compares the files outside the processes that do not change
// from one read to the next.
func TestRootFiles(t *testing.T) {
	root := attach(t, newLeaf(t, Config{}), vfs.Root, "")
	compared := 0
	err := filepath.WalkDir("/proc", func(p string, e fs.DirEntry, err error) error {
		rel := strings.TrimPrefix(p, "/proc/")
		switch {
		case err != nil || p == "/proc":
			return nil
		case e.IsDir():
			_, pid := parsePID(rel)
			if pid || procfile.Root.Hidden(rel) || onMount(p) {
				return filepath.SkipDir
			}
			return nil
		case procfile.Root.Hidden(rel) || !e.Type().IsRegular():
			return nil
		}
		if rootFileEqual(t, root, p, rel) {
			compared++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if compared < 500 {
		t.Errorf("only %d files compared", compared)
	}
}

// rootFileEqual reports whether a file that does not change is the same on both
// ways, in one of some tries: a file may change and change back. loadavg counts who runs
// now, and to read it through the tree takes another thread.
func rootFileEqual(t *testing.T, root vfs.Dir, p, rel string) bool {
	if rel == "loadavg" {
		return false
	}
	for range 5 {
		before, err1 := os.ReadFile(p)
		got, err := read(t, root, strings.Split(rel, "/")...)
		after, err2 := os.ReadFile(p)
		if vfs.Errno(err1) != vfs.Errno(err2) || !bytes.Equal(before, after) {
			return false
		}
		if vfs.Errno(err) == vfs.Errno(err1) && bytes.Equal(got, before) {
			return true
		}
	}
	t.Errorf("%s differs from the native file", p)
	return false
}

func onMount(p string) bool {
	var root, st syscall.Stat_t
	return syscall.Lstat("/proc", &root) != nil || syscall.Lstat(p, &st) != nil || st.Dev != root.Dev
}
