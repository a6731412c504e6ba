package fusefs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/fusefs/device"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// fileOf is a file of a whole mount that may be cached for that long.
func fileOf(text string, hold time.Duration) vfstest.File {
	return vfstest.File{Data: []byte(text), Hold: hold, NoSize: true, Stat: vfstest.Stat{Keep: time.Hour}}
}

// What is cached is read again without a request; what may not be is read anew; no file is
// opened but the first.
func TestWhole(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("1", vfstest.Dir{Stat: vfstest.Stat{Keep: time.Hour}, MissingKeep: time.Hour})
	tree.Put("1/stat", fileOf("1 (init)\n", time.Hour))
	tree.Put("1/environ", fileOf("A=b", 0))
	tree.Put("1/empty", fileOf("", time.Hour))
	tree.Put("1/large", vfstest.File{Data: bytes.Repeat([]byte("0123456789"), 100<<10), Stream: true, NoSize: true})
	dir, s := mounted(t, tree, Config{Whole: true})
	for range 3 {
		expect(t, dir+"/1/stat", "1 (init)\n")
		expect(t, dir+"/1/environ", "A=b")
		expect(t, dir+"/1/empty", "")
	}
	if got, err := os.ReadFile(dir + "/1/large"); err != nil || len(got) != 1000<<10 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	before := s.conn.Received(device.OpLookup) + s.conn.Received(device.OpRead)
	expect(t, dir+"/1/stat", "1 (init)\n")
	if after := s.conn.Received(device.OpLookup) + s.conn.Received(device.OpRead); after != before {
		t.Errorf("to read again what is cached took %d requests", after-before)
	}
	tree.Change("1/environ", fileOf("A=c", 0)) // of the same size
	expect(t, dir+"/1/environ", "A=c")
	tree.Change("1/environ", fileOf("A=longer", 0))
	expect(t, dir+"/1/environ", "A=longer")
	if opens := s.conn.Received(device.OpOpen); opens > 2 { // one is that of the poll hack
		t.Errorf("%d OPENs", opens)
	}
	if _, err := os.ReadFile(dir + "/1/none"); !os.IsNotExist(err) {
		t.Error(err)
	}
}

// Who cannot open a file is told so, whatever the mode bits say.
func TestWholeRefused(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("1/environ", fileOf("A=b", 0))
	tree.Before(func(_ context.Context, op vfstest.Op, path string) error {
		if op == vfstest.OpOpen && path == "1/environ" {
			return syscall.EACCES
		}
		return nil
	})
	dir, _ := mounted(t, tree, Config{Whole: true})
	if _, err := os.ReadFile(dir + "/1/environ"); !os.IsPermission(err) {
		t.Error(err)
	}
}

// A file that is open is read to its end as it was when it was looked up, whatever others look
// up meanwhile.
func TestWholeOpen(t *testing.T) {
	tree := vfstest.NewTree()
	content := func(n int) string {
		return fmt.Sprintf("%07d\n", n) + string(bytes.Repeat([]byte{byte('a' + n%26)}, 20000+n%3))
	}
	tree.Put("1/maps", fileOf(content(0), 0))
	dir, _ := mounted(t, tree, Config{Whole: true})
	path := filepath.Join(dir, "1/maps")
	var files []*os.File
	for n := range 20 {
		tree.Change("1/maps", fileOf(content(n), 0))
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	for n, f := range files {
		got, err := io.ReadAll(f)
		if err != nil || string(got) != content(n) {
			t.Errorf("content %d: %v, %d bytes that begin with %.8q", n, err, len(got), got)
		}
	}
}

// No reader ever sees one content cut, or mixed with another, while they change.
func TestWholeWhileItChanges(t *testing.T) {
	for _, hold := range []time.Duration{0, 30 * time.Millisecond} {
		tree := vfstest.NewTree()
		whole := func(n int) string { return string(bytes.Repeat([]byte{byte('a' + n%26)}, 1+n*7919%9000)) }
		tree.Put("1/status", fileOf(whole(0), hold))
		dir, _ := mounted(t, tree, Config{Whole: true})
		var stop atomic.Bool
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for !stop.Load() {
					got, err := os.ReadFile(filepath.Join(dir, "1/status"))
					if err != nil || len(got) == 0 || len(bytes.Trim(got, string(got[:1]))) > 0 {
						t.Errorf("%v: %d bytes", err, len(got))
						return
					}
					n := 0
					for ; n < 26; n++ {
						if whole(n)[0] == got[0] && len(whole(n)) == len(got) {
							break
						}
					}
					if n == 26 {
						t.Errorf("%d times %q is no content", len(got), got[:1])
						return
					}
				}
			})
		}
		for n := range 300 {
			tree.Change("1/status", fileOf(whole(n%26), hold))
			time.Sleep(time.Millisecond)
		}
		stop.Store(true)
		readers.Wait()
	}
}
