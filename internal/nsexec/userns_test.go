package nsexec_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/internal/nsexec"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
)

// A user without a name, and a second group, as the machine's other users are.
const userUID, userGID, userGroup = 61001, 61002, 61003

// asUser prepares a server of the user's, which is started in a directory of
// the user's with the native procfs kept in it.
func asUser(t *testing.T, argv ...string) (cmd *exec.Cmd, dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "user")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, userUID, userGID); err != nil {
		t.Fatal(err)
	}
	aside := filepath.Join(dir, "aside")
	t.Cleanup(func() {
		wait.Until(t, aside+" is removed", func() bool { return !exists(aside) })
	})
	cmd = command(t, aside, argv...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: userUID, Gid: userGID, Groups: []uint32{userGroup}}}
	return cmd, dir
}

// outputOf runs a script as the user's command and returns what it prints.
func outputOf(t *testing.T, script string, args ...string) string {
	t.Helper()
	cmd, _ := asUser(t, append([]string{"sh", "-c", script, "sh"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// readable is a copy of this program that every user can execute.
func readable(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "programs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "server")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(path, text, 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}

// The command of a user sees the tree as the user, and may nothing.
func TestUser(t *testing.T) {
	vfstest.FuseForAll(t)
	out := outputOf(t, `cat /proc/tree; id -u; id -g; id -ru
		cat $(dirname $(readlink /proc/self))/$$/status
		readlink $(dirname $(readlink /proc/self))/$$/ns/user
		stat -c '%U owns root' /; stat -c '%u owns mine' .`)
	outside, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		treeText, fmt.Sprintf("\n%d\n%d\n%d\n", userUID, userGID, userUID),
		"\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n",
		"nobody owns root", fmt.Sprint(userUID, " owns mine"),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if strings.Contains(out, outside) {
		t.Errorf("the command is in the user namespace of the test, %s", outside)
	}
}

// A setuid program gains nothing.
func TestUserSetuid(t *testing.T) {
	vfstest.FuseForAll(t)
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	id, err := exec.LookPath("id")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(id)
	if err != nil {
		t.Fatal(err)
	}
	setuid := filepath.Join(dir, "id")
	if err := os.WriteFile(setuid, text, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(setuid, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if out := outputOf(t, setuid+" -u; "+setuid+" -ru"); out != fmt.Sprintf("%d\n%d\n", userUID, userUID) {
		t.Errorf("a setuid program is %q", out)
	}
	plain := exec.Command(setuid, "-u")
	plain.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: userUID, Gid: userGID}}
	if out, err := plain.Output(); err != nil || string(out) != "0\n" {
		t.Errorf("outside it is %q, %v: the test shows nothing", out, err)
	}
}

func TestUserExitStatus(t *testing.T) {
	vfstest.FuseForAll(t)
	for _, test := range []struct {
		argv []string
		code int
	}{{[]string{"sh", "-c", "exit 7"}, 7}, {[]string{"sh", "-c", "kill -TERM $$"}, 143}, {[]string{"no-such-command"}, 127}} {
		cmd, _ := asUser(t, test.argv...)
		cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != test.code {
			t.Errorf("%q: exit status %d, want %d", test.argv, got, test.code)
		}
	}
}

// What a user's command leaves behind gets the native procfs back, when the
// command ends and when the server is killed; nothing else stays.
func TestUserOutlive(t *testing.T) {
	vfstest.FuseForAll(t)
	for name, kill := range map[string]bool{"the command ends": false, "the server is killed": true} {
		t.Run(name, func(t *testing.T) {
			cmd, dir := asUser(t, "sh", "-c", `test "$(cat /proc/tree)" || exit 1
				exec >/dev/null 2>&1; setsid sh -c "$2" sh $1 & echo $$ >$1.tmp; mv $1.tmp $1.ready; $3`,
				"sh", "out", native, map[bool]string{true: "exec sleep 1000", false: "true"}[kill])
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "out")
			if kill {
				wait.Until(t, "the command runs", func() bool { return exists(file + ".ready") })
				text, _ := os.ReadFile(file + ".ready")
				var sleeper int
				fmt.Sscan(string(text), &sleeper)
				defer syscall.Kill(sleeper, syscall.SIGKILL)
				cmd.Process.Kill()
			}
			cmd.Wait()
			wait.Until(t, "the background child sees the native procfs", func() bool { return exists(file) })
			wait.Until(t, "nothing stays", func() bool {
				return !strings.Contains(leftovers(t), "aggrfs-exec-") && !strings.Contains(leftovers(t), dir)
			})
		})
	}
}

// Several commands of a user's share the place for the native procfs, which goes
// with the last.
func TestUserTogether(t *testing.T) {
	vfstest.FuseForAll(t)
	first, dir := asUser(t, "true")
	aside := filepath.Join(dir, "aside")
	if out, err := first.CombinedOutput(); err != nil || exists(aside) {
		t.Fatalf("%v: %s; the place is there: %v", err, out, exists(aside))
	}
	var all sync.WaitGroup
	for range 6 {
		cmd, _ := asUser(t, "sh", "-c", "cat /proc/tree && cat "+aside+"/uptime && sleep 0.0$(($$ % 7)) && cat "+aside+"/uptime")
		cmd.Env = append(cmd.Env, serverVariable+"="+aside)
		all.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil || strings.Count(string(out), "\n") != 3 {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	all.Wait()
	if exists(aside) {
		t.Error("the place has stayed")
	}
}

// A user's command can run another.
func TestUserNested(t *testing.T) {
	vfstest.FuseForAll(t)
	script := `native=$(dirname $(readlink /proc/self))
		$1 sh -c "cat /proc/tree && grep -c '/proc .*aggrfs' $native/self/mountinfo" && cat /proc/tree`
	if out := outputOf(t, script, readable(t)); out != treeText+"2\n"+treeText {
		t.Errorf("got %q", out)
	}
}

// Where users may have no user namespaces the error says so, and what helps.
func TestUserForbidden(t *testing.T) {
	vfstest.FuseForAll(t)
	const limit = "/proc/sys/user/max_user_namespaces"
	// Only for the processes of this user namespace of the test's own.
	script := `echo 0 >` + limit + `; exec setpriv --reuid 61001 --regid 61002 --clear-groups "$@"`
	cmd, _ := asUser(t)
	cmd.SysProcAttr.Credential = nil
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
	whole := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 70000}}
	cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = whole, whole
	cmd.SysProcAttr.GidMappingsEnableSetgroups = true
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", script, "sh", readable(t), "true"}
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"does not let its users have user namespaces", "aggrfs-ns", "aggrfs mount DIR", "sysctl user.max_user_namespaces=10000"} {
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v, no %q in %q", err, want, out)
		}
	}
}

// The place for the native procfs is the user's own and nobody else's.
func TestUserAside(t *testing.T) {
	vfstest.FuseForAll(t)
	for _, test := range []struct {
		name string
		make func(dir, aside string) error
		want string
	}{
		{"of somebody else", func(_, aside string) error { return os.Mkdir(aside, 0o755) }, "belongs to somebody else"},
		{"a link", func(_, aside string) error { return os.Symlink("/tmp", aside) }, "not a directory"},
		{"of the group", func(_, aside string) error {
			os.Mkdir(aside, 0o700)
			os.Chown(aside, userUID, userGID)
			return os.Chmod(aside, 0o770)
		}, "can be written by others"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd, dir := asUser(t, "true")
			aside := filepath.Join(dir, "aside")
			if err := test.make(dir, aside); err != nil {
				t.Fatal(err)
			}
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), test.want) {
				t.Errorf("%v, no %q in %q", err, test.want, out)
			}
			os.Remove(aside)
		})
	}
}

func TestAside(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	if got := nsexec.Aside(); got != nsexec.DefaultAside {
		t.Errorf("root's is %s", got)
	}
}
