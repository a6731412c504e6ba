package procfs9p

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A swamp is a file whose one page does not come before it is drained. Who opens it a
// second time, when somebody waits for the page, reads it past the page cache.
type swamp struct {
	fs.Inode
	opened  atomic.Int32
	waited  chan struct{} // closed when the page was asked for
	first   sync.Once
	drained chan struct{}
	once    sync.Once
}

// Getattr implements fs.NodeGetattrer.
func (s *swamp) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = 0o444, 4096
	return 0
}

// Open implements fs.NodeOpener.
func (s *swamp) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if s.opened.Add(1) == 1 {
		return nil, 0, 0
	}
	<-s.waited
	return nil, fuse.FOPEN_DIRECT_IO | fuse.FOPEN_KEEP_CACHE, 0
}

// Read implements fs.NodeReader.
func (s *swamp) Read(_ context.Context, _ fs.FileHandle, dest []byte, _ int64) (fuse.ReadResult, syscall.Errno) {
	s.first.Do(func() { close(s.waited) })
	<-s.drained
	clear(dest)
	return fuse.ReadResultData(dest), 0
}

func (s *swamp) drain() {
	s.first.Do(func() { close(s.waited) })
	s.once.Do(func() { close(s.drained) })
}

// swampRoot is the directory that it is in.
type swampRoot struct {
	fs.Inode
	file *swamp
}

// OnAdd implements fs.NodeOnAdder.
func (r *swampRoot) OnAdd(ctx context.Context) {
	r.AddChild("swamp", r.NewPersistentInode(ctx, r.file, fs.StableAttr{}), false)
}

// mountSwamp mounts one until the test ends.
func mountSwamp(t *testing.T) (path string, s *swamp) {
	t.Helper()
	dir := t.TempDir()
	s = &swamp{waited: make(chan struct{}), drained: make(chan struct{})}
	server, err := fs.Mount(dir, &swampRoot{file: s}, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.drain()
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			err := server.Unmount()
			if err == nil {
				break
			}
			if time.Now().After(end) {
				t.Error(err)
				return
			}
		}
		server.Wait()
	})
	return dir + "/swamp", s
}

// actInSwamp gets this process stuck in mmap(2): to map a file past the page cache the
// kernel empties that first (fuse_file_mmap in fs/fuse/file.c), waits for the page that
// does not come, and has the lock of the memory map meanwhile. Who reads the process's
// cmdline waits for that lock.
func actInSwamp(path string) error {
	first, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	go func() {
		var page [100]byte
		_, _ = unix.Read(first, page[:])
	}()
	second, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	os.Stdout.Close() // says that it begins
	if _, _, errno := unix.RawSyscall6(unix.SYS_MMAP, 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE, uintptr(second), 0); errno != 0 {
		return errno
	}
	for {
		_ = syscall.Pause()
	}
}

// TestSweepOverStuck sweeps a node one process of which really blocks its readers in the
// kernel: everything but that one file is delivered, again and again, no more than one
// reader is left behind, and all is well when the kernel lets it go.
func TestSweepOverStuck(t *testing.T) {
	path, s := mountSwamp(t)
	cmd := again(context.Background(), "swamp", swampVariable+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begin(t, cmd)
	t.Cleanup(s.drain) // before its end is waited for, which does not come otherwise
	if n, _ := out.Read(make([]byte, 1)); n > 0 || strings.ContainsAny(threadState(cmd.Process.Pid), "ZX") {
		t.Fatal("it does not lie in the swamp")
	}
	sick := cmd.Process.Pid
	l := newLeaf(t, Config{StallTimeout: 100 * time.Millisecond, ReadTimeout: 200 * time.Millisecond})
	files := []string{"stat", "statm", "status", "cmdline"}
	var table *snapshot.Table
	h := openSweep(t, l)
	defer h.Close()
	follow := func() int {
		t.Helper()
		var err error
		if table, err = snapshot.Fetch(t.Context(), h, snapshot.Request{Files: files, Remember: true}, table, snapshot.Limits{}); err != nil {
			t.Fatal(err)
		}
		i, ok := table.Find(int32(sick))
		if !ok || table.Skipped() != 0 || table.Len() < 3 {
			t.Fatalf("%d processes, %d skipped, the stuck one is there: %v", table.Len(), table.Skipped(), ok)
		}
		for k, name := range files[:3] {
			if text, errno := table.File(i, k); errno != 0 || len(text) == 0 {
				t.Errorf("%s of the stuck process: %q, %v", name, text, errno)
			}
		}
		if self, ok := table.Find(int32(os.Getpid())); !ok {
			t.Error("other processes are missing")
		} else if text, errno := table.File(self, 3); errno != 0 || len(text) == 0 {
			t.Errorf("cmdline of another process: %q, %v", text, errno)
		}
		return i
	}
	waitFor(t, "the process to be stuck", func() bool {
		_, errno := table.File(follow(), 3)
		return errno == syscall.ETIMEDOUT
	})
	for range 5 {
		i := follow()
		if _, errno := table.File(i, 3); errno != syscall.ETIMEDOUT {
			t.Fatalf("cmdline of the stuck process: %v", errno)
		}
		if n := l.Abandoned(); n != 1 {
			t.Errorf("%d readers are left behind", n)
		}
	}
	if _, err := read(t, attach(t, l, vfs.Root, ""), pidName(int32(sick)), "cmdline"); vfs.Errno(err) != syscall.ETIMEDOUT {
		t.Errorf("cmdline on demand: %v", err)
	}
	s.drain()
	waitFor(t, "the kernel to let the reader go", func() bool { return l.Abandoned() == 0 })
	i := follow()
	if text, errno := table.File(i, 3); errno != 0 || !bytes.Contains(text, []byte("exe")) {
		t.Errorf("cmdline afterwards: %q, %v", text, errno)
	}
}
