package procfs9p

import (
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

func TestNeverExported(t *testing.T) {
	l := newLeaf(t, Config{})
	root := attach(t, l, vfs.Root, "")
	pid := strconv.Itoa(quiet(t, nil))
	paths := []string{"sys/fs/binfmt_misc/register", "sys/fs/binfmt_misc/status"}
	for f := range procfile.Root.All() {
		if f.Hidden != "" {
			paths = append(paths, f.Path)
		}
	}
	for f := range procfile.Process.All() {
		if f.Hidden != "" && !strings.Contains(f.Path, "*") {
			paths = append(paths, pid+"/"+f.Path, pid+"/task/"+pid+"/"+f.Path)
		}
	}
	if len(paths) < 18 {
		t.Fatalf("only %d are never exported", len(paths))
	}
	for _, p := range paths {
		names := strings.Split(p, "/")
		if n, _, err := vfs.WalkPath(t.Context(), root, names...); vfs.Errno(err) != syscall.ENOENT {
			t.Errorf("%s can be walked: %v, %v", p, n, err)
		}
		if _, _, err := vfs.OpenPath(t.Context(), root, names...); vfs.Errno(err) != syscall.ENOENT {
			t.Errorf("%s can be opened: %v", p, err)
		}
		dir, _, err := vfs.WalkPath(t.Context(), root, names[:len(names)-1]...)
		if err != nil {
			continue
		}
		if slices.ContainsFunc(list(t, dir.(vfs.Dir)), func(e vfs.DirEntry) bool { return e.Name == names[len(names)-1] }) {
			t.Errorf("%s is listed", p)
		}
	}
}

func TestHiddenPatterns(t *testing.T) {
	for _, c := range []struct {
		process bool
		rel     string
		want    bool
	}{
		{true, "mem", true},
		{true, "task/5/mem", true},
		{true, "task/5/net/rpc/nfsd.fh/channel", true},
		{true, "net/rpc/nfsd.fh/channel", true},
		{true, "net/rpc/nfsd.fh/content", false},
		{true, "memory", false},
		{true, "task", false},
		{true, "task/5", false},
		{true, "kcore", false},
		{false, "kcore", true},
		{false, "bus/pci", true},
		{false, "bus/pci/00/00.0", true},
		{false, "bus", false},
		{false, "mem", false},
	} {
		if got := procfile.In(c.process).Hidden(c.rel); got != c.want {
			t.Errorf("hidden(%v, %q) = %v", c.process, c.rel, got)
		}
	}
}

// TestNames walks what is almost a name.
func TestNames(t *testing.T) {
	root := attach(t, newLeaf(t, Config{}), vfs.Root, "")
	for _, p := range []string{
		"sta", "stat ", "STAT", "0", "01", "-1", "+1", "1 ", "4294967297", "2147483648", "99999999999999999999", "1\n",
		"1/sta", "1/statx", "1/task/0", "1/task/01", "1/task/2147483647", "1/fd/-1", strings.Repeat("a", 255),
		"sys/kernel/pid_ma", "\xff\xfe",
	} {
		if _, _, err := vfs.WalkPath(t.Context(), root, strings.Split(p, "/")...); vfs.Errno(err) != syscall.ENOENT {
			t.Errorf("%q: %v", p, err)
		}
	}
	for p, want := range map[string]string{"self": "1", "thread-self": "1/task/1", "mounts": "self/mounts", "net": "self/net"} {
		n, err := root.Walk(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := n.(vfs.Link).Readlink(t.Context()); err != nil || got != want {
			t.Errorf("%s -> %q, %v", p, got, err)
		}
		if a, err := n.Attr(t.Context()); err != nil || a.Mode != 0o120777 {
			t.Errorf("%s: %+v, %v", p, a, err)
		}
	}
	for p, want := range map[string]syscall.Errno{"1": syscall.EISDIR, "1/exe": syscall.ELOOP, "self": syscall.ELOOP, "1/stat/x": syscall.ENOTDIR, "1/task": syscall.EISDIR} {
		if _, _, err := vfs.OpenPath(t.Context(), root, strings.Split(p, "/")...); vfs.Errno(err) != want {
			t.Errorf("open %s: %v, want %v", p, err, want)
		}
	}
}
