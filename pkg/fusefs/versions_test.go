package fusefs

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// versionOf is the content of one version: its number, its length, and that
// many of one letter, so that no part of it can be taken for another's.
func versionOf(n int64, length int) []byte {
	b := bytes.Repeat([]byte{'a' + byte(n%26)}, length)
	copy(b, fmt.Sprintf("%d %d ", n, length))
	return b
}

// check tells which version b is, if it is exactly one, entire.
func check(b []byte) (int64, error) {
	var n int64
	var length int
	if _, err := fmt.Sscanf(string(b[:min(len(b), 40)]), "%d %d", &n, &length); err != nil {
		return 0, fmt.Errorf("%.40q: %w", b, err)
	}
	if !bytes.Equal(b, versionOf(n, length)) {
		return n, fmt.Errorf("%d bytes that are not version %d of %d bytes: %.40q...%q", len(b), n, length, b, b[max(0, len(b)-8):])
	}
	return n, nil
}

// TestVersions changes a file while many open and read it in all manners. Every
// open file must read exactly one version, entire, and one that the tree
// had when it was opened or later.
func TestVersions(t *testing.T) {
	testVersions(t, allLengths, inProcess, 700*time.Millisecond)
}

var allLengths = []int{64, 65, 300, 1024, 4095, 4096, 4097, 9000, 64 << 10, 200_000}

// inProcess mounts for a server that writes its notifications itself.
func inProcess(t testing.TB, tree *vfstest.Tree, cfg Config) (dir string, s *Server) {
	return mounted(t, tree, cfg)
}

type mounter func(testing.TB, *vfstest.Tree, Config) (dir string, s *Server)

func testVersions(t *testing.T, lengths []int, mount mounter, d time.Duration) {
	for name, f := range map[string]vfstest.File{
		"kept":                {Stat: vfstest.Stat{Keep: time.Hour}, Hold: time.Hour},
		"attributes run out":  {Stat: vfstest.Stat{Keep: 15 * time.Millisecond}, Hold: time.Hour},
		"attributes not kept": {Hold: time.Hour},
		"size unknown":        {Stat: vfstest.Stat{Keep: time.Hour}, Hold: time.Hour, NoSize: true},
		"never kept":          {Stat: vfstest.Stat{Keep: time.Hour}},
		"never kept, unknown": {Stat: vfstest.Stat{Keep: time.Hour}, NoSize: true},
		"not in memory":       {Stat: vfstest.Stat{Keep: time.Hour}, Stream: true},
		"never kept, run out": {Stat: vfstest.Stat{Keep: 15 * time.Millisecond}},
		"state known":         {Stat: vfstest.Stat{Keep: time.Hour}, Hold: time.Hour, NoSize: true, State: 1},
	} {
		t.Run(name, func(t *testing.T) {
			tree := vfstest.NewTree()
			var newest atomic.Int64
			next := func() vfstest.File {
				n := newest.Load() + 1
				g := f
				g.Data = versionOf(n, lengths[rand.IntN(len(lengths))])
				if f.State != 0 {
					g.State = uint64(n)
				}
				return g
			}
			tree.Put("f", next())
			newest.Store(1)
			dir, _ := mount(t, tree, Config{})
			end := time.Now().Add(d)
			var wg sync.WaitGroup
			for range 6 {
				wg.Go(func() {
					for time.Now().Before(end) && !t.Failed() {
						readVersion(t, dir+"/f", &newest)
					}
				})
			}
			for time.Now().Before(end) {
				tree.Change("f", next())
				newest.Add(1)
				time.Sleep(time.Duration(rand.IntN(4)) * time.Millisecond)
			}
			wg.Wait()
			if d > 500*time.Millisecond && newest.Load() < 20 {
				t.Errorf("only %d versions", newest.Load())
			}
		})
	}
}

// readVersion opens the file, waits a little, reads it with a buffer of some
// size, and checks what it got.
func readVersion(t *testing.T, path string, newest *atomic.Int64) {
	t.Helper()
	from := newest.Load()
	f, err := os.Open(path)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
	if rand.IntN(4) == 0 {
		f.Stat()
	}
	sizes := []int{50, 64, 300, 1024, 4096, 1 << 17}
	size := sizes[rand.IntN(len(sizes))]
	var got bytes.Buffer
	way := anyWay()
	if err := way.read(f, size, &got); err != nil {
		t.Errorf("%s: %v", way.name, err)
		return
	}
	n, err := check(got.Bytes())
	if err != nil {
		t.Errorf("%s of %d: %v", way.name, size, err)
	}
	if n < from {
		t.Errorf("%s of %d: version %d of a file that had version %d before it was opened", way.name, size, n, from)
	}
	// From the start again, it is the same version or a newer one, and one only.
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Error(err)
	}
	got.Reset()
	if _, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{f}, make([]byte, size)); err != nil {
		t.Error(err)
		return
	}
	if m, err := check(got.Bytes()); err != nil || m < n {
		t.Errorf("read again by %d: version %d after version %d, %v", size, m, n, err)
	}
}

// A way is one that the kernel has of reading an open file from its start to its end.
type way struct {
	name string
	read func(f *os.File, size int, to *bytes.Buffer) error
}

// ways are all of them, each of which has a road of its own in the kernel.
var ways = []way{
	{"read", func(f *os.File, size int, to *bytes.Buffer) error {
		_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{f}, make([]byte, size))
		return err
	}},
	{"pread", func(f *os.File, size int, to *bytes.Buffer) error {
		_, err := io.CopyBuffer(struct{ io.Writer }{to}, io.NewSectionReader(f, 0, 1<<30), make([]byte, size))
		return err
	}},
	{"readv", func(f *os.File, size int, to *bytes.Buffer) error {
		for {
			a, b := make([]byte, size/2), make([]byte, size)
			n, err := unix.Readv(int(f.Fd()), [][]byte{a, b})
			if n <= 0 || err != nil {
				return err
			}
			to.Write(append(a[:min(n, len(a))], b[:max(0, n-len(a))]...))
		}
	}},
	{"sendfile", func(f *os.File, size int, to *bytes.Buffer) error {
		return throughPipe(to, func(pipe int) (int, error) { return unix.Sendfile(pipe, int(f.Fd()), nil, min(size, 32<<10)) })
	}},
	{"splice", func(f *os.File, size int, to *bytes.Buffer) error {
		return throughPipe(to, func(pipe int) (int, error) {
			n, err := unix.Splice(int(f.Fd()), nil, pipe, nil, min(size, 32<<10), 0)
			return int(n), err
		})
	}},
	{"mmap", func(f *os.File, _ int, to *bytes.Buffer) error {
		st, err := f.Stat()
		if err != nil || st.Size() == 0 {
			return err
		}
		b, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
		if err != nil {
			return err
		}
		defer unix.Munmap(b)
		// A fault outside of a system call would keep this process, which has to answer, from anything else.
		left := b
		return throughPipe(to, func(pipe int) (int, error) {
			n, err := unix.Write(pipe, left[:min(len(left), 32<<10)])
			left = left[max(0, n):]
			return n, err
		})
	}},
}

func anyWay() way { return ways[rand.IntN(len(ways))] }

// throughPipe reads what move brings into a pipe, which must have room for it, until that is nothing.
func throughPipe(to *bytes.Buffer, move func(pipe int) (int, error)) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	for {
		n, err := move(int(w.Fd()))
		if n <= 0 || err != nil {
			return err
		}
		if _, err := io.CopyN(to, r, int64(n)); err != nil {
			return err
		}
	}
}
