package fusefs

import (
	"bytes"
	"context"
	"errors"
	"github.com/aggrfs/aggrfs/pkg/fusefs/device"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
	"golang.org/x/sys/unix"
)

// TestContent reads every kind of file twice: what the kernel keeps must be
// what the tree said.
func TestContent(t *testing.T) {
	long := vfstest.Stat{Keep: time.Hour}
	pattern := func(n int) []byte { return bytes.Repeat([]byte("0123456789abcdef\n"), n/17+1)[:n] }
	files := map[string]vfstest.File{
		"kept":       {Stat: long, Data: pattern(300), Hold: time.Hour},
		"page":       {Stat: long, Data: pattern(4096), Hold: time.Hour},
		"pages":      {Stat: long, Data: pattern(3*4096 + 1), Hold: time.Hour},
		"most":       {Stat: long, Data: pattern(64 << 10), Hold: time.Hour},
		"more":       {Stat: long, Data: pattern(64<<10 + 1), Hold: time.Hour},
		"large":      {Data: pattern(1 << 20), Stream: true, NoSize: true},
		"empty":      {Stat: long, Hold: time.Hour},
		"size-0":     {Stat: long, Data: pattern(1300), Hold: time.Hour, NoSize: true},
		"never":      {Stat: long, Data: pattern(1000), NoSize: true},
		"never-page": {Stat: long, Data: pattern(5000)},
		"stale":      {Data: pattern(1000), Hold: time.Hour},
		"stream":     {Stat: long, Data: pattern(9000), Stream: true},
	}
	tree := vfstest.NewTree()
	for name, f := range files {
		tree.Put("1/"+name, f)
	}
	dir, _ := mounted(t, tree, Config{})
	for name, f := range files {
		for round := range 4 {
			got, err := os.ReadFile(filepath.Join(dir, "1", name))
			if err != nil || !bytes.Equal(got, f.Data) {
				t.Errorf("%s, round %d: %d bytes, %v, not the %d of the tree", name, round, len(got), err, len(f.Data))
			}
		}
		if info, err := os.Stat(filepath.Join(dir, "1", name)); err != nil {
			t.Error(err)
		} else if size := info.Size(); size != int64(len(f.Data)) && (!f.NoSize || size != 0) {
			t.Errorf("%s: st_size %d, not %d", name, size, len(f.Data))
		}
	}
}

// TestFew counts what the kernel asks for a file that may be cached.
func TestFew(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("1", vfstest.Dir{Stat: vfstest.Stat{Keep: time.Hour}, MissingKeep: time.Hour})
	tree.Put("1/stat", vfstest.File{Stat: vfstest.Stat{Keep: time.Hour}, Data: bytes.Repeat([]byte("x"), 300), Hold: time.Hour})
	tree.Put("1/environ", vfstest.File{Stat: vfstest.Stat{Keep: time.Hour}, Data: bytes.Repeat([]byte("x"), 1000)})
	dir, s := mounted(t, tree, Config{})
	asked := func() (n int) {
		for op := range uint32(opcodes) {
			if op != device.OpRelease {
				n += int(s.conn.Received(op))
			}
		}
		return n
	}
	for _, c := range []struct {
		what        string
		do          func() error
		first, then int
	}{
		{"a file", func() error { _, err := os.ReadFile(dir + "/1/stat"); return err }, 6, 3}, // LOOKUP 1, LOOKUP stat, OPEN, GETATTR, READ and READ at the end; OPEN, READ, READ
		{"another", func() error { _, err := os.ReadFile(dir + "/1/environ"); return err }, 5, 3},
		{"attributes", func() error { _, err := os.Lstat(dir + "/1/stat"); return err }, 0, 0},
		{"no such name", func() error { _, _ = os.Lstat(dir + "/1/ctty"); return nil }, 1, 0},
	} {
		for round, want := range []int{c.first, c.then, c.then} {
			before := asked()
			if err := c.do(); err != nil {
				t.Error(err)
			}
			if n := asked() - before; n != want {
				t.Errorf("%s, round %d: %d requests, not %d", c.what, round, n, want)
			}
			// The file may not be open for the next round.
			wait.Until(t, "file released", func() bool { return tree.Handles() == 0 })
		}
	}
}

func TestErrors(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("1/stat", vfstest.File{Data: []byte("x"), Stat: vfstest.Stat{Keep: time.Hour, Perm: 0o400, UID: 1001}})
	tree.Put("1/exe", vfstest.Link{Target: "/bin/true"})
	tree.Put("sweep", vfstest.File{Read: vfstest.Counter("%d"), Stat: vfstest.Stat{Perm: 0o666}})
	dir, _ := mounted(t, tree, Config{})
	open := func(name string, flags int) error {
		f, err := os.OpenFile(filepath.Join(dir, name), flags, 0o644)
		if err == nil {
			f.Close()
		}
		return err
	}
	var sfs unix.Statfs_t
	if err := unix.Statfs(dir, &sfs); err != nil || sfs.Namelen != 255 || sfs.Flags&unix.ST_RDONLY == 0 {
		t.Errorf("statfs: %+v, %v", sfs, err)
	}
	if to, err := os.Readlink(dir + "/1/exe"); to != "/bin/true" {
		t.Errorf("link to %q, %v", to, err)
	}
	_, xattr := unix.Getxattr(dir+"/1/stat", "user.x", nil)
	for what, c := range map[string]struct {
		got  error
		want syscall.Errno
	}{
		"no such file":       {open("1/nothing", os.O_RDONLY), syscall.ENOENT},
		"file as directory":  {open("1/stat/x", os.O_RDONLY), syscall.ENOTDIR},
		"write":              {open("sweep", os.O_WRONLY), syscall.EROFS},
		"create":             {open("new", os.O_RDWR|os.O_CREATE), syscall.EROFS},
		"mkdir":              {os.Mkdir(dir+"/d", 0o755), syscall.EROFS},
		"remove":             {os.Remove(dir + "/sweep"), syscall.EROFS},
		"chmod":              {os.Chmod(dir+"/sweep", 0), syscall.EROFS},
		"rename":             {os.Rename(dir+"/sweep", dir+"/x"), syscall.EROFS},
		"symlink":            {os.Symlink("x", dir+"/l"), syscall.EROFS},
		"extended attribute": {xattr, syscall.ENOTSUP},
		"name too long":      {open(string(bytes.Repeat([]byte("x"), 256)), os.O_RDONLY), syscall.ENAMETOOLONG},
		"access for writing": {unix.Access(dir+"/sweep", unix.W_OK), syscall.EROFS},
		"access for reading": {unix.Access(dir+"/1/stat", unix.R_OK), 0},
		"access to execute":  {unix.Access(dir+"/1/stat", unix.X_OK), syscall.EACCES},
	} {
		if c.want == 0 && c.got == nil {
			continue
		}
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, not %v", what, c.got, c.want)
		}
	}
	tree.Before(func(_ context.Context, op vfstest.Op, path string) error {
		if op == vfstest.OpOpen {
			panic("a mistake of the tree")
		}
		return nil
	})
	if err := open("sweep", os.O_RDONLY); !errors.Is(err, syscall.EIO) {
		t.Errorf("open that panics: %v", err)
	}
}

// TestReuse: a name that comes to mean another object is another inode.
func TestReuse(t *testing.T) {
	tree := vfstest.NewTree()
	dir1 := vfstest.Dir{Stat: vfstest.Stat{Keep: 20 * time.Millisecond}}
	tree.Put("7", dir1)
	tree.Put("7/comm", vfstest.File{Data: []byte("old")})
	dir, s := mounted(t, tree, Config{})
	old, err := os.Open(dir + "/7")
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	tree.Remove("7")
	tree.Put("7", dir1)
	tree.Put("7/comm", vfstest.File{Data: []byte("new")})
	time.Sleep(30 * time.Millisecond)
	if got, err := os.ReadFile(dir + "/7/comm"); string(got) != "new" {
		t.Errorf("the new object: %q, %v", got, err)
	}
	fd, err := unix.Openat(int(old.Fd()), "comm", unix.O_RDONLY, 0)
	if err == nil {
		unix.Close(fd)
	}
	if !errors.Is(err, syscall.ENOENT) {
		t.Errorf("the old object: %v, not ENOENT", err)
	}
	if n := s.fs.inodes.size(); n < 3 {
		t.Errorf("%d inodes", n)
	}
}
