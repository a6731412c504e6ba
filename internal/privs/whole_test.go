package privs

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// withheld are the files that are never exported; see package procfs9p.
var withheld = []string{
	"kcore", "vmcore", "kmsg", "kpagecount", "kpageflags", "kpagecgroup", "sysrq-trigger", "bus/pci", "acpi/event",
	"fs/nfsd", "xen", "sys/vm/stat_refresh", "[0-9]*/mem", "[0-9]*/pagemap", "[0-9]*/clear_refs",
	"[0-9]*/task/*/mem", "[0-9]*/task/*/pagemap", "[0-9]*/task/*/clear_refs",
}

// counting are files that the reading of them changes: who reads has more files
// open on one of the ways.
var counting = []string{"loadavg", "sys/fs/file-nr", "sys/fs/inode-nr", "sys/fs/inode-state", "sys/fs/dentry-state"}

// TestRootReadsAll reads everything that root reads in /proc, natively and from
// a procsrv that has given up what it does not need: each object below the root,
// and below a process of root, one of a user, one of the kernel, and pid 1.
func TestRootReadsAll(t *testing.T) {
	d := start(t, 0, all, "procsrv", "--listen", "unix:DIR/s")
	c := comparison{t: t, root: d.attach(t, vfs.Root)}
	own, other := strconv.Itoa(quiet(t, 0)), strconv.Itoa(quiet(t, testUID))
	for _, rel := range []string{"", own, other, "2", "1"} {
		c.compareBelow(rel)
	}
	t.Logf("%d objects compared, %d of them refused to root too; %d changed meanwhile", c.compared, c.refused, c.changing)
	if c.compared < 2000 || c.changing > c.compared/4 {
		t.Errorf("%d objects compared, %d changed meanwhile", c.compared, c.changing)
	}
}

// A comparison holds a leaf's tree against the native /proc.
type comparison struct {
	t                           *testing.T
	root                        vfs.Dir
	compared, refused, changing int
}

// compareBelow compares the object rel and all below it; of the root's entries
// no process.
func (c *comparison) compareBelow(rel string) {
	err := filepath.WalkDir(filepath.Join("/proc", rel), func(p string, e fs.DirEntry, err error) error {
		at := strings.TrimPrefix(strings.TrimPrefix(p, "/proc"), "/")
		switch {
		case at == "", e == nil: // in a pid namespace there is no process of the kernel's
			return nil
		case slices.ContainsFunc(withheld, func(pattern string) bool { ok, _ := path.Match(pattern, at); return ok }),
			rel == "" && isPID(at), isMount(p),
			rel != "" && strings.HasSuffix(at, "/net"), // compared as the root's, once
			rel == "1" && at == "1/task", at == "self", at == "thread-self":
			if e.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		c.compareOne(p, at)
		return nil
	})
	if err != nil {
		c.t.Error(err)
	}
	if rel == "" {
		c.compareNet()
	}
}

// compareNet compares what /proc/net leads to.
func (c *comparison) compareNet() {
	names, err := os.ReadDir("/proc/1/net")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, e := range names {
		c.compareOne("/proc/1/net/"+e.Name(), "1/net/"+e.Name())
	}
}

// compareOne compares one object. One that is not the same before and after,
// natively, says nothing unless it is refused on one of the ways only.
func (c *comparison) compareOne(native, rel string) {
	last := ""
	for range 20 {
		before, err1 := nativeContent(native)
		got, err := c.content(rel)
		after, err2 := nativeContent(native)
		if vfs.Errno(err1) != vfs.Errno(err2) {
			continue // it came or went
		}
		same := bytes.Equal(before, after) && !slices.Contains(counting, rel)
		if vfs.Errno(err) == vfs.Errno(err1) && (!same || bytes.Equal(got, before)) {
			c.compared++
			if err != nil {
				c.refused++
			}
			if !same {
				c.changing++
			}
			return
		}
		last = fmt.Sprintf("%d bytes, %v; native %d bytes, %v", len(got), err, len(before), err1)
	}
	c.t.Errorf("%s differs from what root reads natively: %s", rel, last)
}

// content is a file's bytes, a link's text or a directory's names.
func (c *comparison) content(rel string) ([]byte, error) {
	ctx := c.t.Context()
	n, _, err := vfs.WalkPath(ctx, c.root, strings.Split(rel, "/")...)
	if err != nil {
		return nil, err
	}
	switch n := n.(type) {
	case vfs.Link:
		text, err := n.Readlink(ctx)
		return []byte(text), err
	case vfs.Dir:
		h, err := n.List(ctx)
		if err != nil {
			return nil, err
		}
		defer h.Close()
		_, err = h.ReadDir(ctx, 0, nil, 1)
		return nil, err
	}
	return read(ctx, c.root, rel)
}

// nativeContent is the same without the leaf. It does not wait for what a file
// may wait for at open.
func nativeContent(p string) ([]byte, error) {
	info, err := os.Lstat(p)
	if err != nil {
		return nil, err
	}
	switch info.Mode().Type() {
	case fs.ModeSymlink:
		text, err := os.Readlink(p)
		return []byte(text), err
	case fs.ModeDir:
		_, err := os.ReadDir(p)
		return nil, err
	}
	fd, err := syscall.Open(p, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	var all []byte
	for buf := make([]byte, 64<<10); ; {
		n, err := syscall.Read(fd, buf)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return all, nil
		}
		all = append(all, buf[:n]...)
	}
}

func isPID(name string) bool { return name[0] >= '0' && name[0] <= '9' }

func isMount(p string) bool {
	var root, st syscall.Stat_t
	return syscall.Lstat("/proc", &root) != nil || syscall.Lstat(p, &st) != nil || st.Dev != root.Dev
}
