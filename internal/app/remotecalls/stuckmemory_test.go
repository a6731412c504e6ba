package remotecalls

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/seccomp"
	"github.com/aggrfs/aggrfs/test/wait"
)

// A silent is a file whose reads are answered when somebody lets them.
type silent struct {
	fs.Inode
	let chan struct{} // closed
}

func (f *silent) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = syscall.S_IFREG|0o444, 4096
	return 0
}

func (f *silent) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

func (f *silent) Read(_ context.Context, _ fs.FileHandle, dest []byte, _ int64) (fuse.ReadResult, syscall.Errno) {
	<-f.let
	clear(dest)
	return fuse.ReadResultData(dest), 0
}

// silentFile is the path of a file that whoever reads it, or looks at it in memory, waits for until
// let is called.
func silentFile(t *testing.T) (path string, let func()) {
	t.Helper()
	open := make(chan struct{})
	let = sync.OnceFunc(func() { close(open) })
	dir, root := t.TempDir(), &fs.Inode{}
	server, err := fs.Mount(dir, root, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMountStrict: true},
		OnAdd: func(ctx context.Context) {
			root.AddChild("page", root.NewPersistentInode(ctx, &silent{let: open}, fs.StableAttr{Mode: syscall.S_IFREG}), false)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		let()
		wait.Until(t, "the mount is taken away", func() bool { return server.Unmount() == nil })
		server.Wait()
	})
	return filepath.Join(dir, "page"), let
}

// victim maps the file that is its first argument, and calls with a pointer there, as rt_sigqueueinfo(2)
// and sched_getaffinity(2), which writes; then it makes a call without one. It is no Go program: while
// another process waits for its memory it can have no more.
const victim = `
import ctypes, mmap, sys
path, pid, queue, affinity, times = sys.argv[1], *map(int, sys.argv[2:])
libc = ctypes.CDLL(None, use_errno=True)
with open(path, "rb") as f:
    page = mmap.mmap(f.fileno(), 4096, access=mmap.ACCESS_COPY)
at = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(page)))
def call(*args):
    ctypes.set_errno(0)
    libc.syscall(*args)
    return ctypes.get_errno()
all = [call(affinity, pid, 64, at)]
all += [call(queue, pid, 35, at) for _ in range(times)]
all += [libc.kill(pid, 15)]
print(*all, flush=True)
import os
os._exit(0)
`

// A program whose memory never comes, since it is a file of a mount that does not answer, costs itself
// its deadline: what takes no memory is answered, and the supervisor ends.
func TestSilentMemory(t *testing.T) {
	page, let := silentFile(t)
	listeners, proceed, ended := make(chan int), make(chan bool), make(chan struct{})
	var out []byte
	go func() {
		defer close(ended)
		runtime.LockOSThread() // and never unlocked: what it starts has its filter
		unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		fd, err := seccomp.Install()
		if err != nil {
			t.Error(err)
		}
		listeners <- fd
		if <-proceed {
			out, err = exec.Command("python3", "-c", victim, page, fmt.Sprint(one), fmt.Sprint(unix.SYS_RT_SIGQUEUEINFO), fmt.Sprint(unix.SYS_SCHED_GETAFFINITY), fmt.Sprint(userAccesses)).Output()
			if err != nil {
				t.Error(err)
			}
		}
	}()
	l, err := seccomp.NewListener(<-listeners)
	if err != nil {
		close(proceed)
		t.Fatal(err)
	}
	s := Start(Config{Listener: l, Native: "/proc", Tree: newTree().tree, Deadline: 300 * time.Millisecond})
	proceed <- true
	select {
	case <-ended:
	case <-time.After(2 * time.Minute):
		let()
		<-ended
		t.Error("the program has waited for its memory")
	}
	var want []string
	for range userAccesses {
		want = append(want, fmt.Sprint(int(unix.EFAULT)))
	}
	want = append(want, fmt.Sprint(int(unix.EAGAIN)), "0")
	eq(t, "the calls", strings.TrimSpace(string(out)), strings.Join(want, " "))
	eq(t, "the end", s.Close(), nil)
	eq(t, "accesses that have not ended", s.accesses.underWay(), userAccesses)
	let()
	wait.Until(t, "no access is left", func() bool { return s.accesses.underWay() == 0 })
}

func (a *accesses) underWay() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, of := range a.users {
		n += of
	}
	return n
}
