package nsexec_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
)

// withHelper returns a function that prepares a server of the user's which has
// the helper beside it, in a mount namespace that has a /run of its own.
func withHelper(t *testing.T) func(argv ...string) (cmd *exec.Cmd, dir string) {
	t.Helper()
	vfstest.FuseForAll(t)
	program := readable(t)
	vfstest.BuildHelper(t, filepath.Dir(program))
	return func(argv ...string) (*exec.Cmd, string) {
		cmd, dir := asUser(t, argv...)
		cmd.Env = append(cmd.Env, serverVariable+"="+defaultAside, "GORACE=atexit_sleep_ms=0")
		script := `mount -t tmpfs -o mode=755 none /run && mkdir -m 0755 /run/aggrfs-native && exec setpriv --reuid $1 --regid $2 --groups $3 "$0" "${@:4}"`
		cmd.Path, cmd.Args = "/bin/bash", append([]string{"bash", "-c", script, program, fmt.Sprint(userUID), fmt.Sprint(userGID), fmt.Sprint(userGroup)}, argv...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		return cmd, dir
	}
}

// With the helper the command is in no user namespace, and still may nothing.
func TestHelper(t *testing.T) {
	cmd, _ := withHelper(t)("sh", "-c", `cat /proc/tree; readlink /proc/self; id -u; id -g; id -G
		grep -E 'CapInh|CapPrm|CapEff|CapAmb|NoNewPrivs' /run/aggrfs-native/$$/status
		readlink /run/aggrfs-native/$$/ns/user; stat -c '%U owns root' /; ls -l /run/aggrfs-native/$$/fd; grep ' /proc ' /run/aggrfs-native/self/mounts
		touch /run/aggrfs-native/x /run/x; umount /proc; pgrep -P $PPID -f become`)
	out, _ := cmd.CombinedOutput()
	outside, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		treeText + "/run/aggrfs-native/self\n", fmt.Sprintf("\n%d\n%d\n%d %d\n", userUID, userGID, userGID, userGroup), outside, "root owns root",
		"CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n",
		fmt.Sprintf("aggrfs /proc fuse.aggrfs ro,nosuid,nodev,noexec,relatime,user_id=%d,group_id=%d 0 0", userUID, userGID),
		"touch: cannot touch '/run/x': Permission denied", "umount: /proc",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	for _, not := range []string{"/dev/fuse", "socket:"} {
		if strings.Contains(string(out), not) {
			t.Errorf("the command has a descriptor %s:\n%s", not, out)
		}
	}
}

func TestHelperExitStatus(t *testing.T) {
	prepare := withHelper(t)
	for _, test := range []struct {
		argv []string
		code int
		out  string
	}{
		{[]string{"sh", "-c", "exit 7"}, 7, ""},
		{[]string{"sh", "-c", "kill -TERM $$"}, 143, ""},
		{[]string{"sh", "-c", "kill -TERM $PPID; exec sleep 1000"}, 143, ""}, // is passed on
		{[]string{"no-such-command"}, 127, "aggrfs exec: no-such-command: command not found"},
		{[]string{"/etc/passwd"}, 126, "permission denied"},
		{[]string{"/bin/sh", "-c", `cat <&9; echo $0 "$@"`, "-a", "--", ""}, 0, "nine\n-a -- \n"},
	} {
		cmd, _ := prepare(test.argv...)
		cmd.Args[2] = "exec 9<<<nine; " + cmd.Args[2]
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != test.code || !strings.Contains(string(out), test.out) {
			t.Errorf("%q: exit status %d, want %d; output %q", test.argv, got, test.code, out)
		}
	}
}

// What a command leaves behind gets the native procfs back, when the command
// ends and when the server is killed; nothing else stays.
func TestHelperOutlive(t *testing.T) {
	prepare := withHelper(t)
	for name, kill := range map[string]bool{"the command ends": false, "the server is killed": true} {
		t.Run(name, func(t *testing.T) {
			cmd, dir := prepare("sh", "-c", `test "$(cat /proc/tree)" || exit 1
				exec >/dev/null 2>&1; setsid sh -c "$2" sh $1 & echo $$ >$1.tmp; mv $1.tmp $1.ready; $3`,
				"sh", "out", native, map[bool]string{true: "exec sleep 1000", false: "true"}[kill])
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "out")
			wait.Until(t, "the command runs", func() bool { return exists(file + ".ready") })
			if kill {
				text, _ := os.ReadFile(file + ".ready")
				var sleeper int
				fmt.Sscan(string(text), &sleeper)
				defer syscall.Kill(sleeper, syscall.SIGKILL)
				helper := childOf(t, cmd.Process.Pid, "aggrfs-ns")
				for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT} {
					syscall.Kill(helper, s)
				}
				defer wait.Until(t, "the helper ends", func() bool { return syscall.Kill(helper, 0) != nil })
				cmd.Process.Kill()
			}
			cmd.Wait()
			wait.Until(t, "the background child sees the native procfs", func() bool { return exists(file) })
		})
	}
}

// Below the helper there are no new privileges, so the inner command is in a
// user namespace.
func TestHelperNested(t *testing.T) {
	prepare := withHelper(t)
	cmd, _ := prepare("sh", "-c", `$1 sh -c "readlink /proc/self; cat /proc/tree" && cat /proc/tree && readlink /proc/self`, "sh", "")
	cmd.Args[len(cmd.Args)-1] = cmd.Args[3]
	out, err := cmd.CombinedOutput()
	want := fmt.Sprintf("/tmp/aggrfs-native-%d/self\n", userUID) + treeText + treeText + "/run/aggrfs-native/self\n"
	if err != nil || string(out) != want {
		t.Errorf("%v: %q, want %q", err, out, want)
	}
}

// What the helper refuses is an error of Run's.
func TestHelperRefuses(t *testing.T) {
	prepare := withHelper(t)
	for _, test := range []struct{ make, want string }{
		{"rmdir /run/aggrfs-native", "no such file or directory: the machine's administrator makes it"},
		{"chmod 0777 /run/aggrfs-native", "with mode 0755"},
		{"chmod 0700 /run/aggrfs-native", "with mode 0755"},
		{"chown 61001 /run/aggrfs-native", "must be root's"},
		{"rmdir /run/aggrfs-native; mkdir /run/x; ln -s /run/x /run/aggrfs-native", "is no directory"},
		{"mount -t tmpfs none /proc", "no native procfs"}, // the server says so
	} {
		cmd, _ := prepare("true")
		cmd.Args[2] = strings.Replace(cmd.Args[2], "&& exec", "&& { "+test.make+"; } && exec", 1)
		out, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != 125 || !strings.Contains(string(out), test.want) {
			t.Errorf("%s: %v: %q, want %q in it", test.make, err, out, test.want)
		}
	}
}

// The environment is the command's, as the caller has it, and steers no helper: what
// the Go runtime would say at its start, with a capability, is not said.
func TestHelperEnvironment(t *testing.T) {
	cmd, _ := withHelper(t)("sh", "-c", `for p in $PPID $$; do tr '\0' '\n' </run/aggrfs-native/$p/environ; echo END; done`)
	steering := []string{"GODEBUG=inittrace=1,gctrace=1", "GOTRACEBACK=crash", "GOGC=1", "GOMAXPROCS=1", "GOMEMLIMIT=1MiB", "aggrfs-exec:X=1", "EMPTY=", "no-equals-sign"}
	// The server's runtime is steered, as any program's: what it says is not counted.
	cmd.Env = append(cmd.Env, steering...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	both := strings.Split(string(out), "END\n")
	if len(both) != 3 || both[0] != both[1] {
		t.Fatalf("the caller and the command have\n%s", out)
	}
	for _, entry := range steering[:len(steering)-1] { // the shell that starts the caller drops the last
		if !strings.Contains("\n"+both[1], "\n"+entry+"\n") {
			t.Errorf("the command lacks %s:\n%s", entry, both[1])
		}
	}
}
