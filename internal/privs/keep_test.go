package privs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// checkThreads looks at every thread of a daemon.
func (d *daemon) checkThreads(t *testing.T, kept, bounding Set) {
	t.Helper()
	want := rights{permitted: kept, effective: kept, bounding: bounding, noNewPrivs: 1}
	if err := verify(fmt.Sprintf("/proc/%d/task", d.pid), want); err != nil {
		t.Error(err)
	}
}

// needsLeaf makes sure that root has here what the tests are about.
func needsLeaf(t *testing.T) {
	t.Helper()
	own, err := readRights(ownStatus)
	if err != nil {
		t.Fatal(err)
	}
	if missing := setOf(Leaf()) &^ own.permitted; missing != 0 {
		t.Fatalf("these tests need %v", missing)
	}
}

func TestStartedAsRoot(t *testing.T) {
	needsLeaf(t)
	d := start(t, 0, all, "procsrv", "--listen", "unix:DIR/s")
	d.checkThreads(t, setOf(Leaf()), setOf(Leaf()))
	if strings.Contains(d.log.String(), "without") {
		t.Errorf("something is missing: %s", d.log.String())
	}
	d.serveUser(t)
	d.checkThreads(t, setOf(Leaf()), setOf(Leaf())) // those that have served, too
}

// serveUser reads as a user what is theirs and what is not.
func (d *daemon) serveUser(t *testing.T) {
	t.Helper()
	user := d.attach(t, vfs.Identity{UID: testUID, GID: testGID})
	own, roots := quiet(t, testUID), quiet(t, 0)
	want, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", own))
	if got, err := read(t.Context(), user, fmt.Sprintf("%d/environ", own)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("environ of the user's own process: %q, %v", got, err)
	}
	_, err := read(t.Context(), user, fmt.Sprintf("%d/environ", roots))
	if e := vfs.Errno(err); e != syscall.EACCES && e != syscall.ENOENT { // aggrfs shows users their own only
		t.Errorf("environ of root's process, as a user: %v", err)
	}
	got, err := read(t.Context(), d.attach(t, vfs.Root), fmt.Sprintf("%d/environ", own))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("environ of the user's process, as root: %q, %v", got, err)
	}
}

// TestNothingToSpare takes one capability of the list away and finds something
// that is then not what it was: the list is not longer than it must be. The log
// names what is missing.
func TestNothingToSpare(t *testing.T) {
	needsLeaf(t)
	own, other := quiet(t, 0), quiet(t, testUID)
	whole := start(t, 0, setOf(Leaf()), "procsrv", "--listen", "unix:DIR/s")
	user := vfs.Identity{UID: testUID, GID: testGID}
	for _, c := range []struct {
		missing int
		who     vfs.Identity
		path    string
	}{
		{unix.CAP_SYS_PTRACE, vfs.Root, fmt.Sprintf("%d/syscall", other)},
		{unix.CAP_DAC_READ_SEARCH, vfs.Root, fmt.Sprintf("%d/environ", other)},
		{unix.CAP_SETUID, user, fmt.Sprintf("%d/environ", other)},
		{unix.CAP_SETGID, user, fmt.Sprintf("%d/environ", other)},
		{unix.CAP_SYS_ADMIN, vfs.Root, fmt.Sprintf("%d/stack", own)},
		{unix.CAP_SYSLOG, vfs.Root, "kallsyms"},
		{unix.CAP_SYS_NICE, vfs.Root, fmt.Sprintf("%d/timerslack_ns", own)},
	} {
		t.Run(name(c.missing), func(t *testing.T) {
			want, err := read(t.Context(), whole.attach(t, c.who), c.path)
			if err != nil {
				t.Fatal(err)
			}
			set := setOf(Leaf()) &^ (1 << c.missing)
			d := start(t, 0, set, "procsrv", "--listen", "unix:DIR/s")
			d.checkThreads(t, set, set)
			got, err := read(t.Context(), d.attach(t, c.who), c.path)
			if err == nil && bytes.Equal(got, want) && !alwaysMasked(c.missing) {
				t.Errorf("%s is the same without", c.path)
			}
			if !strings.Contains(d.log.String(), "without "+name(c.missing)+" ") {
				t.Errorf("the log does not say so: %s", d.log.String())
			}
		})
	}
}

// alwaysMasked reports whether this kernel is set to show addresses to nobody.
func alwaysMasked(number int) bool {
	b, err := os.ReadFile("/proc/sys/kernel/kptr_restrict")
	return number == unix.CAP_SYSLOG && err == nil && strings.TrimSpace(string(b)) == "2"
}

func TestVerify(t *testing.T) {
	dir := t.TempDir()
	const good = "Name:\tx\nCapInh:\t0\nCapPrm:\t00000000000000c4\nCapEff:\t00000000000000c4\nCapBnd:\t1ff\nCapAmb:\t0\nNoNewPrivs:\t1\n"
	write := func(tid, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, tid), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, tid, "status"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := rights{permitted: 0xc4, effective: 0xc4, bounding: 0x1ff, noNewPrivs: 1}
	if err := verify(dir, want); err == nil {
		t.Error("no thread is taken for good")
	}
	write("11", good)
	if err := os.Mkdir(filepath.Join(dir, "12"), 0o700); err != nil { // has ended
		t.Fatal(err)
	}
	if err := verify(dir, want); err != nil {
		t.Error(err)
	}
	for _, change := range []string{
		"CapEff:\t00000000000000c4>CapEff:\t80", "CapPrm:\t00000000000000c4>CapPrm:\t00000000000000c5", "CapInh:\t0>CapInh:\t4",
		"CapBnd:\t1ff>CapBnd:\t3ff", "CapAmb:\t0>CapAmb:\t4", "NoNewPrivs:\t1>NoNewPrivs:\t0", "CapBnd>CapXyz", "CapEff:\t>CapEff:\tz",
	} {
		was, is, _ := strings.Cut(change, ">")
		write("13", strings.ReplaceAll(good, was, is))
		if err := verify(dir, want); err == nil || !strings.Contains(err.Error(), "13") {
			t.Errorf("%q: %v", change, err)
		}
	}
}
