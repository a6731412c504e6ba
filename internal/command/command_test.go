package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aggrfs/aggrfs/test/wait"
)

func TestMain(m *testing.M) {
	Stage()
	if text, ok := os.LookupEnv(inner); ok {
		runInner(text)
	}
	if dir, ok := os.LookupEnv(deaf); ok {
		runDeaf(dir)
	}
	goleak.VerifyTestMain(m)
}

// slurm is a user of a command who is in no user database.
var slurm = &User{UID: 64031, GID: 64032, Groups: []uint32{64033, 64034}}

// sh is a command that is a shell's script, with time and room for all.
func sh(script string, who *User) Spec {
	return Spec{Argv: []string{"/bin/sh", "-c", script}, User: who, Env: []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}, Timeout: time.Minute, MaxOutput: 1 << 20}
}

// alive reports whether any process has word among its arguments.
func alive(t *testing.T, word string) bool {
	t.Helper()
	lists, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err == nil && strings.Contains(string(text), word) && !strings.Contains(list, "/"+strconv.Itoa(os.Getpid())+"/") {
			return true
		}
	}
	return false
}

// The kernel says of the command that it is the user and may nothing, whoever that
// is; and that it has nothing of this process's.
func TestRights(t *testing.T) {
	t.Setenv("AGGRFS_SECRET", "1")
	for _, tc := range []struct {
		who               *User
		uid, gid          uint32
		groups, processes string
	}{
		{slurm, 64031, 64032, "64033 64034", ""},
		{nil, 65534, 65534, "", ""},
		{&User{UID: 0, GID: 0}, 0, 0, "", ""},
	} {
		out, err := Run(t.Context(), sh(`cat /proc/self/status; pwd; env; ls -l /proc/self/fd; readlink /proc/self/fd/0; ps -o pid=,sid= -p $$`, tc.who))
		if err != nil {
			t.Fatal(err)
		}
		text := string(out.Stdout)
		for _, want := range []string{
			fmt.Sprintf("\nUid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", tc.uid), fmt.Sprintf("\nGid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", tc.gid),
			"\nGroups:\t" + tc.groups + " \n",
			"\nCapInh:\t0000000000000000\n", "\nCapPrm:\t0000000000000000\n", "\nCapEff:\t0000000000000000\n",
			"\nCapBnd:\t0000000000000000\n", "\nCapAmb:\t0000000000000000\n", "\nNoNewPrivs:\t1\n", "\n/\n", "\n/dev/null\n",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("as %v there is no %q in\n%s", tc.who, want, text)
			}
		}
		if strings.Contains(text, "AGGRFS_SECRET") || strings.Contains(text, " 4 -> ") || !strings.Contains(text, "\nSigIgn:\t0000000000000000\n") {
			t.Errorf("the command has what it was not given:\n%s", text)
		}
		f := strings.Fields(text)
		if f[len(f)-1] != f[len(f)-2] {
			t.Errorf("the command leads no session: %s", f[len(f)-2:])
		}
	}
}

// A set-user-ID program gives the command nothing.
func TestNoNewPrivileges(t *testing.T) {
	dir := openDir(t)
	program, err := os.ReadFile("/bin/cat")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "cat")
	if err := errors.Join(os.WriteFile(path, program, 0o755), os.Chmod(path, 0o755|os.ModeSetuid)); err != nil {
		t.Fatal(err)
	}
	out, err := Run(t.Context(), sh(path+" /proc/self/status", slurm))
	if err != nil || !strings.Contains(string(out.Stdout), "\nUid:\t64031\t64031\t64031\t64031\n") {
		t.Errorf("%v\n%s", err, out.Stdout)
	}
}

// Nothing is left of a command that has ended, that has not, that does too much, and
// of one that nobody waits for any more: what has left its session, its process group
// and its parents behind, too.
func TestNothingIsLeft(t *testing.T) {
	// Twice forked, in a session of its own, deaf to what it can be deaf to.
	const leave = `for i in 1 2 3; do setsid sh -c 'trap "" HUP INT TERM; (sleep 8123.$0 & sleep 8123.$0) & sleep 8123.$0' %s </dev/null >/dev/null 2>&1 & done; `
	for i, tc := range []struct {
		then, want string
		timeout    time.Duration
		out        int
	}{
		{"sleep 0.3; echo done", "", time.Minute, 1000},
		{"sleep 0.3; exit 7", "exited 7", time.Minute, 1000},
		{"sleep 0.3; kill -9 $$", "killed by SIGKILL", time.Minute, 1000},
		{"sleep 8123.$$", "no end after 1s", time.Second, 1000},
		{"sleep 0.3; yes", "more than 1000 bytes", time.Minute, 1000},
	} {
		for k, who := range []*User{slurm, nil, {}} {
			mark := fmt.Sprintf("%d%d%d", os.Getpid(), i, k)
			spec := sh(fmt.Sprintf(leave, mark)+tc.then, who)
			spec.Timeout, spec.MaxOutput = tc.timeout, tc.out
			out, err := Run(t.Context(), spec)
			switch {
			case tc.want == "" && (err != nil || string(out.Stdout) != "done\n"):
				t.Errorf("%s: %q, %v", tc.then, out.Stdout, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("%s: %v, want %q", tc.then, err, tc.want)
			}
			if alive(t, "8123."+mark) {
				t.Errorf("%s as %v: something is left", tc.then, who)
			}
		}
	}
	mark := fmt.Sprintf("%d99", os.Getpid())
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		if err := wait.Poll(ctx, wait.Condition(func() bool { return alive(t, "8123."+mark) })); err != nil {
			t.Errorf("it does not begin: %v", err)
		}
	}()
	if _, err := Run(ctx, sh(fmt.Sprintf(leave, mark)+"sleep 8123", slurm)); err == nil || alive(t, "8123."+mark) {
		t.Errorf("a run that was ended: %v", err)
	}
}

// A supervisor whose starter is gone ends the command all the same, and the command
// cannot end it first.
func TestStarterGone(t *testing.T) {
	mark := fmt.Sprintf("8124.%d", os.Getpid())
	order := order{Argv: []string{"/bin/sh", "-c", "kill -9 $PPID 2>&1; ps -o ppid= -p $$; setsid sleep " + mark + " & wait"}, Env: []string{"PATH=/usr/bin:/bin"}, User: *slurm}
	sup, err := startSupervisor(order, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := &Limited{Max: 1000}
	ended := make(chan error, 1)
	go func() { ended <- sup.wait(out, &Limited{Max: 1000}) }()
	wait.Until(t, "the command runs", func() bool { return alive(t, "sleep\x00"+mark) })
	sup.stop() // as the kernel does at the end of a process
	if err := <-ended; err != nil || alive(t, mark) || !sup.verdict.Killed {
		t.Errorf("%v, %+v", err, sup.verdict)
	}
	if text := out.b.String(); !strings.Contains(text, "not permitted") && !strings.Contains(text, "No such process") {
		t.Errorf("the command may signal its supervisor: %q", text)
	}
}

// What cannot be run is an error that says what to do.
func TestErrors(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := errors.Join(os.WriteFile(open, []byte("#!/bin/sh\n"), 0o777), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	closed := filepath.Join(dir, "closed")
	if err := os.WriteFile(closed, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		spec Spec
		want string
	}{
		{sh("printf 'bad\\033[31m\\n  news\\n' >&2; exit 3", slurm), `command /bin/sh -c printf 'bad\\033[31m\\n  news\\n' >&2; exit 3: exited 3: bad\033[31m news`},
		{Spec{Argv: []string{"/no/such/squeue"}}, "there is no /no/such/squeue"},
		{Spec{Argv: []string{open}}, "chmod o-w"},
		{Spec{Argv: []string{closed}, User: slurm}, "may not be run by uid 64031"},
		{Spec{Argv: []string{dir}}, "no regular file"},
		{Spec{Argv: []string{"/etc/passwd"}}, "may not be run"},
	} {
		tc.spec.Timeout, tc.spec.MaxOutput = time.Minute, 1000
		if _, err := Run(t.Context(), tc.spec); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v: %v, want %q", tc.spec.Argv, err, tc.want)
		}
	}
	out, err := Run(t.Context(), sh("echo good; echo odd >&2", nil))
	if err != nil || string(out.Stdout) != "good\n" || out.Complaint != "odd" {
		t.Errorf("%+v, %v", out, err)
	}
	big, err := Run(t.Context(), sh("head -c 1048576 /dev/zero; head -c 100000 /dev/zero >&2", nil))
	if err != nil || len(big.Stdout) != 1<<20 {
		t.Errorf("%d bytes, %v", len(big.Stdout), err)
	}
}

// What is written beyond the limit is taken, however it comes, and forgotten.
func TestLimited(t *testing.T) {
	over := 0
	out := &Limited{Max: 5, Over: func() { over++ }}
	for _, text := range []string{"123", "", "45", "6", "7890"} {
		if n, err := io.Copy(out, strings.NewReader(text)); err != nil || n != int64(len(text)) {
			t.Errorf("%q: %d, %v", text, n, err)
		}
		if out.IsOver() != (over > 0) {
			t.Errorf("%q: %v, %d", text, out.IsOver(), over)
		}
	}
	if out.String() != "12345" || over != 1 {
		t.Errorf("%q, %d", out, over)
	}
}

// The children of a process are found with and without the kernel's lists of them.
func TestChildPIDs(t *testing.T) {
	child := exec.Command("/bin/sleep", "1000")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { child.Process.Kill(); child.Wait() }()
	for name, pids := range map[string][]int{"childPIDs": childPIDs(), "pidsByParent": pidsByParent(os.Getpid())} {
		if !slices.Contains(pids, child.Process.Pid) {
			t.Errorf("%s: %d is not among %v", name, child.Process.Pid, pids)
		}
	}
	if pids := pidsByParent(child.Process.Pid); len(pids) > 0 {
		t.Errorf("a process without children has %v", pids)
	}
}
