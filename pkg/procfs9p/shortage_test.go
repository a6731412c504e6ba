package procfs9p

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/procfs9p/fdlimit"
	"github.com/aggrfs/aggrfs/pkg/procfs9p/lend"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// TestFewDescriptors sweeps and lists, in another process, at small limits of open
// files, and with few of them left: never is there less than in the native listing
// without an error that says why.
func TestFewDescriptors(t *testing.T) {
	s := newSpace(t)
	s.do("for i in $(seq 40); do sleep 1000 & done; echo done")
	procfs, err := os.Open(s.proc)
	if err != nil {
		t.Fatal(err)
	}
	defer procfs.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := again(ctx, "short")
	cmd.ExtraFiles = []*os.File{procfs}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

// enough is how many descriptors a leaf needs beside those that it has at rest.
const enough = fdlimit.FewestOperations * fdlimit.PerOperation

// actShort is the other process. The limit is lowered step by step, and at each the
// rest is taken up but for a few.
func actShort() error {
	const root = "/proc/self/fd/3"
	native, err := filepath.Glob(root + "/[0-9]*")
	if err != nil || len(native) < 40 {
		return fmt.Errorf("%d processes, %v", len(native), err)
	}
	null, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	wrong := 0
	for _, limit := range []uint64{512, 256, 64, 24} {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return err
		}
		l, err := New(Config{Root: root})
		if err != nil {
			return err
		}
		all := l.descriptors.Most * fdlimit.PerOperation // that operations at once can have
		var taken []int
		for {
			fd, err := unix.Dup(null)
			if err != nil {
				break
			}
			taken = append(taken, fd)
		}
		for free := 0; ; free++ {
			for _, what := range []struct {
				name  string
				try   func(*Leaf) (int, error)
				alone bool // nothing else needs descriptors meanwhile
			}{{"sweep", countSwept, true}, {"listing", countListed, true}, {"sweeps and listings at once", countAtOnce, false}} {
				n, err := what.try(l)
				if n != len(native) && !isShortage(err) || err != nil && (what.alone && free >= enough || limit < fdlimit.KeepFrom && free >= all) {
					wrong++
					fmt.Printf("%s: limit %d, %d descriptors free: %d of %d processes, %v\n", what.name, limit, free, n, len(native), err)
				}
			}
			if free == 2*enough && limit >= fdlimit.KeepFrom || free > all || len(taken) == 0 {
				break
			}
			unix.Close(taken[len(taken)-1])
			taken = taken[:len(taken)-1]
		}
		for _, fd := range taken {
			unix.Close(fd)
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	if wrong > 0 {
		return fmt.Errorf("wrong %d times", wrong)
	}
	return nil
}

// countSwept is how many processes a sweep finds; one that lacks a file counts as none.
func countSwept(l *Leaf) (int, error) {
	table, _, err := l.sweeps.Table(context.Background(), snapshot.Request{Files: []string{"stat", "cmdline", "exe"}})
	if err != nil {
		return 0, err
	}
	n := 0
	for i := range table.Len() {
		whole := true
		for k := range table.Files() {
			_, errno := table.File(i, k)
			whole = whole && errno == 0
		}
		if whole {
			n++
		}
	}
	if table.Skipped() != 0 || table.Facts().Lacks != 0 {
		return n, fmt.Errorf("%d skipped, %w", table.Skipped(), table.Facts().Lacks)
	}
	return n, nil
}

// countListed is how many processes the root lists and shows the stat of.
func countListed(l *Leaf) (int, error) {
	ctx := context.Background()
	node, err := l.Attach(ctx, vfs.Root, "")
	if err != nil {
		return 0, err
	}
	entries, err := node.(dir).load(ctx)
	n := 0
	for _, e := range entries {
		if _, ok := parsePID(e.Name); ok {
			if _, err := vfs.ReadFile(ctx, node.(dir), 1<<16, e.Name, "stat"); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, err
}

// countAtOnce does both many times at once and is the least that came, with the error.
func countAtOnce(l *Leaf) (least int, err error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	least = 1 << 30
	for i := range 8 {
		all.Go(func() {
			try := countSwept
			if i%2 == 0 {
				try = countListed
			}
			n, failed := try(l)
			mu.Lock()
			defer mu.Unlock()
			if n < least || err == nil && failed != nil {
				least, err = n, failed
			}
		})
	}
	all.Wait()
	return least, err
}

// TestErrorsAreNoEnd has the kernel give errors for one process: only those that say
// that it has ended take it from the table and the listing.
func TestErrorsAreNoEnd(t *testing.T) {
	sick := quiet(t, nil)
	name := strconv.Itoa(sick)
	files := []string{"stat", "status"}
	for _, where := range []string{"directory", "stat", "status"} {
		for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO, syscall.EACCES, syscall.EPERM, syscall.ESRCH, syscall.ENOENT} {
			t.Run(where+" "+errno.Error(), func(t *testing.T) {
				l := newLeaf(t, Config{})
				if where == "directory" {
					l.procs.enter = func(dirfd int, rel string, flags uint64) (int, error) {
						if rel == name {
							return -1, errno
						}
						return openAt(dirfd, rel, flags)
					}
				} else {
					l.read = func(fd int, b []byte) (int, error) {
						if path, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); strings.HasSuffix(path, "/"+name+"/"+where) {
							return -1, errno
						}
						return unix.Read(fd, b)
					}
				}
				table, _, err := l.sweeps.Table(t.Context(), snapshot.Request{Files: files})
				if isShortage(errno) {
					if vfs.Errno(err) != errno {
						t.Errorf("a sweep gives %v", err)
					}
				} else if err != nil {
					t.Fatal(err)
				} else {
					i, ok := table.Find(int32(sick))
					lacks := table.Facts().Lacks
					switch {
					case isGone(errno) && (ok && where == "directory" || lacks != 0 && where != "stat"):
						t.Errorf("one that has ended: %v, %v", ok, lacks)
					case !isGone(errno) && where != "status" && (lacks != errno || table.Skipped() != 1):
						t.Errorf("%d skipped, for %v", table.Skipped(), lacks)
					case where == "status":
						if _, got := table.File(i, 1); !ok || got != errno {
							t.Errorf("status is %v", got)
						}
					}
				}
				if where == "directory" {
					// One that was never seen: its start time must be asked for.
					l.procs.settle(int32(sick), 1, 1, 2)
					_, err := attach(t, l, vfs.Root, "").(dir).load(t.Context())
					if isGone(errno) != (err == nil) || err != nil && vfs.Errno(err) != errno {
						t.Errorf("a listing gives %v", err)
					}
				}
			})
		}
	}
}

// TestHiddenFromTheLeaf sweeps a procfs that hides the processes of others from the
// leaf itself: the table says that it is not all.
func TestHiddenFromTheLeaf(t *testing.T) {
	for options, want := range map[string]syscall.Errno{"": 0, "hidepid=1": 0, "hidepid=2": syscall.EPERM, "hidepid=2,gid=" + strconv.Itoa(testUID): 0, "hidepid=4": syscall.EPERM} {
		l := newLeaf(t, Config{Root: mountProc(t, options)})
		l.own = lend.New(func() (*lend.Own, error) { return &lend.Own{UID: testUID, GID: testUID}, nil }) // without any capability
		if got := sweep(t, l, snapshot.Request{Files: []string{"stat"}}).Facts().Lacks; got != want {
			t.Errorf("%q: %v, want %v", options, got, want)
		}
	}
}

// TestLimitIsRaised: a daemon has as many descriptors as it may, whatever its soft
// limit was when it was started. The Go runtime raises that to the hard one, or to
// one less.
func TestLimitIsRaised(t *testing.T) {
	cmd := exec.Command("sh", "-c", "ulimit -S -n 20; ulimit -H -n 4000; "+actVariable+"=limit exec /proc/"+strconv.Itoa(os.Getpid())+"/exe")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) < "3999" || len(out) != 5 {
		t.Errorf("the limit is %q, %v", out, err)
	}
}
