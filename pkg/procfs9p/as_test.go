package procfs9p

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

const testUID = 1001

func asUser() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: testUID, Gid: testUID}}
}

// native runs a command as the user, without the leaf.
func native(t *testing.T, argv ...string) ([]byte, syscall.Errno) {
	t.Helper()
	id := strconv.Itoa(testUID)
	cmd := exec.Command("setpriv", append([]string{"--reuid", id, "--regid", id, "--clear-groups"}, argv...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err == nil {
		return out, 0
	}
	for _, e := range []syscall.Errno{syscall.EACCES, syscall.EPERM, syscall.ENOENT, syscall.ESRCH, syscall.EINVAL, syscall.EIO} {
		if strings.Contains(strings.ToLower(stderr.String()), e.Error()) {
			return nil, e
		}
	}
	t.Fatalf("%q: %v: %s", argv, err, stderr.String())
	return nil, 0
}

// TestRightsOfUser reads as a user through the leaf, and as the same user
// without it: the bytes and the errors are the same.
func TestRightsOfUser(t *testing.T) {
	roots, own := quiet(t, nil), quiet(t, asUser())
	l := newLeaf(t, Config{})
	who := vfs.Identity{UID: testUID, GID: testUID}
	user, super := attach(t, l, who, ""), attach(t, l, vfs.Root, "")
	denied := 0
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, pid := range []int{roots, own} {
		for _, name := range []string{
			"stat", "statm", "status", "cmdline", "environ", "maps", "smaps_rollup", "io", "stack", "syscall", "wchan",
			"personality", "auxv", "limits", "cgroup", "oom_score", "mountinfo", "timerslack_ns", "numa_maps",
		} {
			p := strconv.Itoa(pid)
			want, wantErr := native(t, "cat", procPath(pid, name))
			got, err := read(t, user, p, name)
			if shared[name] && wantErr == 0 && err == nil {
				continue
			}
			if vfs.Errno(err) != wantErr || !bytes.Equal(ownLines(got), ownLines(want)) {
				t.Errorf("pid %d %s: %q, %v; native %q, %v", pid, name, got, err, want, wantErr)
			}
			if wantErr != 0 {
				denied++
			}
			// The superuser's reads go on meanwhile, with all rights.
			wg.Go(func() {
				if _, err := read(t, super, p, "environ"); err != nil {
					t.Errorf("root, pid %d: %v", pid, err)
				}
			})
		}
		for _, name := range []string{"exe", "cwd", "fd/0"} {
			want, wantErr := native(t, "readlink", "-v", procPath(pid, name))
			n, _, err := vfs.WalkPath(t.Context(), user, strings.Split(filepath.Join(strconv.Itoa(pid), name), "/")...)
			got := ""
			if err == nil {
				got, err = n.(vfs.Link).Readlink(t.Context())
			}
			if vfs.Errno(err) != wantErr || got != strings.TrimSuffix(string(want), "\n") {
				t.Errorf("pid %d %s: %q, %v; native %q, %v", pid, name, got, err, want, wantErr)
			}
		}
	}
	if denied < 8 {
		t.Errorf("only %d refusals", denied)
	}
	for _, name := range []string{"kallsyms", "ioports", "iomem", "slabinfo", "vmallocinfo"} {
		want, wantErr := native(t, "cat", "/proc/"+name)
		got, err := read(t, user, name)
		if vfs.Errno(err) != wantErr || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v; native %d, %v", name, len(got), err, len(want), wantErr)
		}
	}
}

// ownLines is a file of a process without the lines of status that count what
// all processes of its user do.
func ownLines(file []byte) []byte {
	var own []byte
	for line := range bytes.Lines(file) {
		if !bytes.HasPrefix(line, []byte("SigQ:")) {
			own = append(own, line...)
		}
	}
	return own
}

// shared are files that count who else maps a library: any process that starts
// changes them.
var shared = map[string]bool{"smaps_rollup": true, "numa_maps": true}

// TestKeyrings makes sure that no user is shown root's keyrings.
func TestKeyrings(t *testing.T) {
	l := newLeaf(t, Config{})
	if _, err := read(t, attach(t, l, vfs.Identity{UID: testUID, GID: testUID}, ""), "keys"); vfs.Errno(err) != syscall.EACCES {
		t.Errorf("keys as a user: %v", err)
	}
	if _, err := read(t, attach(t, l, vfs.Root, ""), "keys"); err != nil {
		t.Errorf("keys as root: %v", err)
	}
}

// TestRightsComeBack looks at every thread of the test after many switches.
func TestRightsComeBack(t *testing.T) {
	l := newLeaf(t, Config{})
	before := threadLines(t, "self")
	var wg sync.WaitGroup
	for i := range 8 {
		d := attach(t, l, vfs.Identity{UID: 2000 + uint32(i), GID: 3000, Groups: []uint32{5, 6}}, "")
		wg.Go(func() {
			for range 50 {
				if _, err := read(t, d, "1", "stat"); err != nil {
					t.Error(err)
				}
				if _, err := read(t, d, "1", "environ"); vfs.Errno(err) != syscall.EACCES {
					t.Errorf("environ of init: %v", err)
				}
			}
		})
	}
	wg.Wait()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range tasks {
		if got := threadLines(t, "self/task/"+e.Name()); got != before && got != "" {
			t.Errorf("thread %s: %q, want %q", e.Name(), got, before)
		}
	}
}

// threadLines are the lines of status that tell a thread's rights.
func threadLines(t *testing.T, task string) string {
	b, err := os.ReadFile("/proc/" + task + "/status")
	if err != nil {
		return "" // ended
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		for _, key := range []string{"Uid:", "Gid:", "Groups:", "CapEff:", "CapPrm:"} {
			if strings.HasPrefix(line, key) {
				lines = append(lines, line)
			}
		}
	}
	return strings.Join(lines, "")
}

// TestAttach checks who may attach where.
func TestAttach(t *testing.T) {
	l := newLeaf(t, Config{})
	user := vfs.Identity{UID: testUID, GID: testUID}
	for _, c := range []struct {
		who   vfs.Identity
		aname string
		want  syscall.Errno
	}{
		{vfs.Root, "", 0},
		{vfs.Root, SnapshotName, 0},
		{vfs.Root, "other", syscall.ENOENT},
		{user, "", 0},
		{user, SnapshotName, syscall.EACCES},
		{vfs.Identity{UID: vfs.NoID, GID: testUID}, "", syscall.EACCES},
		{vfs.Identity{UID: testUID, GID: vfs.NoID}, "", syscall.EACCES},
	} {
		if _, err := l.Attach(t.Context(), c.who, c.aname); vfs.Errno(err) != c.want {
			t.Errorf("%v %q: %v", c.who, c.aname, err)
		}
	}
}
