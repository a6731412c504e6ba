package fusefs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// TestConformance runs the suite for mounts over ours.
func TestConformance(t *testing.T) {
	tree := vfstest.NewTree()
	long := vfstest.Stat{Keep: time.Hour}
	tree.Put("1/stat", vfstest.File{Stat: long, Data: []byte("1 (init) S"), Hold: time.Hour})
	tree.Put("1/status", vfstest.File{Stat: long, Data: bytes.Repeat([]byte("Name:\tinit\n"), 1000), Hold: time.Hour})
	tree.Put("1/environ", vfstest.File{Stat: long, Data: bytes.Repeat([]byte("A=b\x00"), 300)})
	tree.Put("1/maps", vfstest.File{Data: bytes.Repeat([]byte("7f00-7f01 r-xp\n"), 20000), Stream: true, NoSize: true})
	tree.Put("1/empty", vfstest.File{Stat: long, Hold: time.Hour})
	tree.Put("1/exe", vfstest.Link{Target: "/sbin/init (deleted)"})
	tree.Put("none", vfstest.Dir{})
	tree.Put("self", vfstest.Link{Stat: long, Target: "1"})
	for i := range 700 {
		tree.Put(fmt.Sprintf("fd/%d", i), vfstest.Link{Target: "/dev/null"})
	}
	dir, _ := mounted(t, tree, Config{})
	vfstest.TestMount(t, dir, vfstest.Options{})
}

// overProc runs a shell command in a mount namespace in which mnt is at /proc
// and the native procfs at native.
func overProc(t testing.TB, mnt, native, command string) string {
	t.Helper()
	cmd := exec.Command("unshare", "-m", "sh", "-c", `mount --rbind /proc "$2" && mount --bind "$1" /proc && eval "$3"`, "sh", mnt, native, command)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

// mountSynth mounts a synthetic /proc.
func mountSynth(t testing.TB, procs int, keep time.Duration, mount func(string, Config) (*Server, error)) (mnt, native string, s *Server) {
	t.Helper()
	dir := t.TempDir()
	mnt, native = filepath.Join(dir, "mnt"), filepath.Join(dir, "native")
	for _, d := range []string{mnt, native} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root := synthRoot{&synth{procs: procs, keep: keep, native: native}}
	s, err := mount(mnt, Config{Attach: func(context.Context, vfs.Identity) (vfs.Node, error) { return root, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return mnt, native, s
}

// TestPS: every process exactly once, in the unmodified ps and top.
func TestPS(t *testing.T) {
	const procs = 300
	mnt, native, _ := mountSynth(t, procs, time.Minute, Mount)
	for _, command := range []string{"ps -ef", "ps -ef", "ps aux", "top -b -n1 -w 512", "ps -eo pid,lstart,args"} {
		seen := map[int]int{}
		for line := range strings.Lines(overProc(t, mnt, native, command)) {
			if !strings.Contains(line, "sleep") {
				continue
			}
			for _, field := range strings.Fields(line)[:2] {
				if pid, err := strconv.Atoi(field); err == nil && pid >= synthFirst {
					seen[pid]++
				}
			}
		}
		for i := range procs {
			if n := seen[synthFirst+i]; n != 1 {
				t.Errorf("%s shows process %d %d times", command, synthFirst+i, n)
				break
			}
		}
	}
}

// BenchmarkPS runs ps -ef over 5,000 processes in memory: the mount's own part
// of what it costs, cold (nothing is in the kernel) and warm.
func BenchmarkPS(b *testing.B) {
	const procs = 5000
	handed := func(dir string, cfg Config) (*Server, error) {
		cfg.Notifier = &writer{some: make(chan struct{}, 1)}
		return Mount(dir, cfg)
	}
	for _, c := range []struct {
		name  string
		runs  int // before the one that counts
		mount func(string, Config) (*Server, error)
	}{{"cold", 0, Mount}, {"warm", 2, Mount}, {"handed-cold", 0, handed}, {"handed-warm", 2, handed}} {
		b.Run(c.name, func(b *testing.B) {
			var took time.Duration
			var asked uint64
			for range b.N {
				mnt, native, s := mountSynth(b, procs, time.Minute, c.mount)
				for range c.runs {
					overProc(b, mnt, native, "ps -ef > /dev/null")
				}
				before := total(s)
				took += stopwatch(b, overProc(b, mnt, native, "date +%s.%N; ps -ef > /dev/null; date +%s.%N"))
				asked += total(s) - before
				s.Close()
			}
			b.ReportMetric(float64(took.Microseconds())/float64(b.N*procs), "µs/process")
			b.ReportMetric(float64(asked)/float64(b.N*procs), "requests/process")
			b.ReportMetric(float64(took.Microseconds())/float64(asked), "µs/request")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func total(s *Server) (n uint64) {
	for op := range uint32(opcodes) {
		n += s.conn.Received(op)
	}
	return n
}

// stopwatch is the time between two outputs of date +%s.%N.
func stopwatch(b *testing.B, out string) time.Duration {
	var from, to float64
	if _, err := fmt.Sscan(out, &from, &to); err != nil {
		b.Fatalf("%q: %v", out, err)
	}
	return time.Duration((to - from) * float64(time.Second))
}
