package nsexec_test

import (
	"golang.org/x/sys/unix"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Fifty runs, one after the other and together in one place, leave no mount,
// process, descriptor, namespace or directory behind.
func TestNothingStays(t *testing.T) {
	aside := asideIn(t)
	before := leftovers(t)
	for range 50 {
		if code, out := run(t, aside, "cat", "/proc/tree"); code != 0 {
			t.Fatal(code, out)
		}
		if exists(aside) {
			t.Fatal(aside, "has stayed")
		}
	}
	if after := leftovers(t); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 4 {
				cmd, out := start(t, aside, "sh", "-c", "cat /proc/tree && cat "+aside+"/uptime && sleep 0.0$(($$ % 7)) && cat "+aside+"/uptime")
				if err := cmd.Wait(); err != nil {
					t.Error(err, out)
				}
			}
		})
	}
	all.Wait()
	if after := leftovers(t); after != before || exists(aside) {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// leftovers lists what a run could leave behind: our mounts, descriptors,
// processes and the mount namespaces of this machine.
func leftovers(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) { // other tests mount, too, elsewhere
		if f := strings.Fields(line); len(f) > 4 && (f[4] == "/proc" || strings.HasPrefix(f[4], "/proc/") || strings.Contains(line, "TestNothing") || strings.Contains(f[4], "aggrfs-native")) {
			b.WriteString(line)
		}
	}
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		b.WriteString(fd.Name() + " ")
	}
	self, _ := os.Executable()
	exes, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range exes {
		if target, _ := os.Readlink(exe); target == self {
			args, _ := os.ReadFile(filepath.Dir(exe) + "/cmdline")
			b.WriteString("\n" + strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return b.String()
}

// A place that stays, which everybody can lock, keeps nobody from running.
func TestLockedByOthers(t *testing.T) {
	aside := filepath.Join(t.TempDir(), "aside")
	if err := os.Mkdir(aside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(aside, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(aside)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	cmd, out := start(t, aside, "cat", "/proc/tree")
	if err := cmd.Wait(); err != nil {
		t.Error(err, out)
	}
	if !exists(aside) {
		t.Error("what others made was removed")
	}
}
