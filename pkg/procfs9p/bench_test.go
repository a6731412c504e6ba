package procfs9p

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// sweepFiles are those that a front end asks for.
var sweepFiles = []string{"stat", "statm", "status", "cmdline"}

// bareLoop opens, reads and closes files of all processes by absolute paths,
// as a minimal program does: the limit to compare with.
func bareLoop(tb testing.TB, pids []pidIno, files []string, buf []byte) (bytes int) {
	for _, p := range pids {
		for _, f := range files {
			fd, err := unix.Open("/proc/"+strconv.Itoa(int(p.pid))+"/"+f, unix.O_RDONLY, 0)
			if err != nil {
				continue
			}
			n, err := unix.Read(fd, buf)
			if err == nil {
				bytes += n
			}
			unix.Close(fd)
		}
	}
	return bytes
}

// crowd starts n processes more.
func crowd(tb testing.TB, n int) {
	tb.Helper()
	cmds := make([]*exec.Cmd, n)
	for i := range cmds {
		cmds[i] = exec.Command("sleep", "1000")
		if err := cmds[i].Start(); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(func() {
		for _, c := range cmds {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	})
}

// BenchmarkSweep prints a sweep's time against that of a bare loop over the
// same files of the same processes.
func BenchmarkSweep(b *testing.B) {
	crowd(b, 300)
	l := newLeaf(b, Config{})
	buf := make([]byte, readBuffer)
	var builder snapshot.Builder
	var table *snapshot.Table
	var ours, bare time.Duration
	visited := 0
	b.ReportAllocs()
	for b.Loop() {
		pids, err := l.pids()
		if err != nil {
			b.Fatal(err)
		}
		t0 := time.Now()
		bareLoop(b, pids, sweepFiles, buf)
		t1 := time.Now()
		if err := l.produce(b.Context(), &builder, table, sweepFiles); err != nil {
			b.Fatal(err)
		}
		if table, err = builder.Table(); err != nil {
			b.Fatal(err)
		}
		bare, ours = bare+t1.Sub(t0), ours+time.Since(t1)
		visited += len(pids)
	}
	b.ReportMetric(float64(ours.Nanoseconds())/float64(visited), "ours-ns/proc")
	b.ReportMetric(float64(bare.Nanoseconds())/float64(visited), "bare-ns/proc")
	b.ReportMetric(float64(ours)/float64(bare), "ratio")
}

// BenchmarkOnDemand is the cost of one file read on demand, each way.
func BenchmarkOnDemand(b *testing.B) {
	name := strconv.Itoa(quiet(b, asUser()))
	l := newLeaf(b, Config{})
	user := vfs.Identity{UID: 1001, GID: 1001}
	for _, file := range []string{"stat", "environ"} {
		b.Run("bare/"+file, func(b *testing.B) {
			path := "/proc/" + name + "/" + file
			buf := make([]byte, readBuffer)
			for b.Loop() {
				fd, err := unix.Open(path, unix.O_RDONLY, 0)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = unix.Read(fd, buf)
				unix.Close(fd)
			}
		})
		root := attach(b, l, vfs.Root, "")
		b.Run("walk-walk-open/"+file, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p, err := root.Walk(b.Context(), name)
				if err != nil {
					b.Fatal(err)
				}
				f, err := p.(vfs.Dir).Walk(b.Context(), file)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := f.(vfs.File).Open(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("openpath/"+file, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := vfs.OpenPath(b.Context(), root, name, file); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	as1001 := attach(b, l, user, "")
	b.Run("user/stat", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := vfs.OpenPath(b.Context(), as1001, name, "stat"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkOpenProcess is what it costs to open and verify a process directory
// for each operation, in place of keeping it open.
func BenchmarkOpenProcess(b *testing.B) {
	l := newLeaf(b, Config{})
	pid := int32(os.Getpid())
	for b.Loop() {
		fd, _, err := l.procs.open(pid)
		if err != nil {
			b.Fatal(err)
		}
		unix.Close(fd)
	}
}

// BenchmarkApart is what it costs to make a call that can be left behind.
func BenchmarkApart(b *testing.B) {
	g := newGuard(time.Second, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := apart(b.Context(), g, 0, func() (int, error) { return 1, nil }); err != nil {
			b.Fatal(err)
		}
	}
}
