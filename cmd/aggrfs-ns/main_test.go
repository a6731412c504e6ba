package main_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// A user without a name.
const userUID, userGID = 61001, 61002

// build builds the helper where every user can execute it.
func build(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "helper")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return vfstest.BuildHelper(t, dir)
}

// helper prepares the helper as a user starts it, in a mount namespace that has
// a /run of its own. The files are descriptors 3 and up.
func helper(t *testing.T, program string, files []*os.File, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	script := `mount -t tmpfs -o mode=755 none /run && mkdir -m 0755 /run/aggrfs-native && exec setpriv --reuid $1 --regid $2 --clear-groups "${@:3}"`
	cmd := exec.Command("bash", append([]string{"-c", script, "bash", fmt.Sprint(userUID), fmt.Sprint(userGID), program}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	cmd.ExtraFiles = files
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out
}

// pair is a socket for the helper and the server's end of it.
func pair(t *testing.T, domain, kind int) (theirs, ours *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(domain, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours = os.NewFile(uintptr(fds[0]), "theirs"), os.NewFile(uintptr(fds[1]), "ours")
	t.Cleanup(func() { theirs.Close(); ours.Close() })
	return theirs, ours
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), path)
	t.Cleanup(func() { f.Close() })
	return f
}

// Arguments and descriptors that aggrfs exec never passes are refused before
// anything is done.
func TestRefused(t *testing.T) {
	program := build(t)
	fuse, zero := open(t, "/dev/fuse"), open(t, "/dev/zero")
	file, err := os.CreateTemp(t.TempDir(), "file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	netlink, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	route := os.NewFile(uintptr(netlink), "netlink")
	defer route.Close()
	marker := filepath.Join(filepath.Dir(program), "ran")
	run := func(args ...string) []string { return append(append([]string{"run"}, args...), "touch", marker) }
	for _, test := range []struct {
		name   string
		device *os.File
		args   []string
		want   string
	}{
		{"none", fuse, nil, "is run by aggrfs exec"},
		{"unknown", fuse, []string{"mount", "3", "4", "true"}, "is run by aggrfs exec"},
		{"no command", fuse, []string{"run", "3", "4"}, "is run by aggrfs exec"},
		{"nothing to become", fuse, []string{"become"}, "is run by aggrfs exec"},
		{"options", fuse, run("-o", "4"), `"-o" is no descriptor`},
		{"a standard stream", fuse, run("2", "4"), `"2" is no descriptor`},
		{"zeros before", fuse, run("03", "4"), `"03" is no descriptor`},
		{"negative", fuse, run("-3", "4"), `"-3" is no descriptor`},
		{"huge", fuse, run("99999999999999999999", "4"), "is no descriptor"},
		{"closed", fuse, run("77", "4"), "descriptor 77 is no socket"},
		{"no socket", fuse, run("4", "4"), "descriptor 4 is no socket"},
		{"a netlink socket", route, run("4", "4"), "descriptor 4 is no unix stream socket"},
		{"the device is a file", file, run("3", "4"), "descriptor 4 is not /dev/fuse"},
		{"the device is another", zero, run("3", "4"), "descriptor 4 is not /dev/fuse"},
		{"the device is the socket", fuse, run("3", "3"), "descriptor 3 is not /dev/fuse"},
		{"the device is closed", fuse, run("3", "77"), "descriptor 77: bad file descriptor"},
		{"the device is an option", fuse, run("3", "4,allow_other"), `"4,allow_other" is no descriptor`},
	} {
		t.Run(test.name, func(t *testing.T) {
			theirs, ours := pair(t, unix.AF_UNIX, unix.SOCK_STREAM)
			cmd, out := helper(t, program, []*os.File{theirs, test.device}, test.args...)
			err := cmd.Run()
			theirs.Close()
			said := make([]byte, 4096)
			n, _ := ours.Read(said)
			all := out.String() + string(said[:n])
			if err == nil || cmd.ProcessState.ExitCode() != 125 || !strings.Contains(all, test.want) {
				t.Errorf("%v: %q, want %q in it", err, all, test.want)
			}
			if _, err := os.Stat(marker); err == nil {
				t.Error("the command has run")
			}
		})
	}
}

// Whoever starts the helper in another way gets nothing by it.
func TestNothingToGain(t *testing.T) {
	program := build(t)
	dir := filepath.Dir(program)
	rights := `id -u; grep -E 'CapPrm|CapEff|NoNewPrivs' /proc/$$/status; $1 -u`
	text, err := os.ReadFile("/usr/bin/id")
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
	cmd, out := helper(t, program, nil, "become", "sh", "-c", rights, "sh", setuid)
	want := "61001\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n61001\n"
	if err := cmd.Run(); err != nil || out.String() != want {
		t.Errorf("become: %v: %q, want %q", err, out, want)
	}

	bare, _ := os.ReadFile(program)
	plain, setuidHelper := filepath.Join(dir, "plain"), filepath.Join(dir, "setuid")
	for path, mode := range map[string]os.FileMode{plain: 0o755, setuidHelper: 0o755 | os.ModeSetuid} {
		if err := os.WriteFile(path, bare, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{plain: "setcap cap_sys_admin+ep", setuidHelper: "must not be a setuid"} {
		theirs, _ := pair(t, unix.AF_UNIX, unix.SOCK_STREAM)
		cmd, out := helper(t, path, []*os.File{theirs, open(t, "/dev/fuse")}, "run", "3", "4", "true")
		if err := cmd.Run(); err == nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %v: %q, want %q in it", path, err, out, want)
		}
	}
}

// The mount is the caller's, where and as the helper makes it, whatever the
// environment says; and it ends with the server, which says nothing.
func TestEnvironment(t *testing.T) {
	program := build(t)
	theirs, ours := pair(t, unix.AF_UNIX, unix.SOCK_STREAM)
	cmd, out := helper(t, program, []*os.File{theirs, open(t, "/dev/fuse")}, "run", "3", "4", "true")
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR=/tmp", "TMPDIR=/", "HOME=/proc", "GODEBUG=inittrace=1", "GOTRACEBACK=crash", "LD_PRELOAD=/tmp/x.so", "FUSE_OPTIONS=allow_other")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	defer func() {
		ours.Close()
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 125 {
			t.Errorf("the helper's end: %v: %s", err, out)
		}
	}()
	said := make([]byte, 4096)
	n, _ := ours.Read(said)
	if string(said[:n]) != "mounted\n" {
		t.Fatalf("it says %q: %s", said[:n], out)
	}
	mounts := mountsOf(t, cmd.Process.Pid)
	want := fmt.Sprintf("aggrfs /proc fuse.aggrfs ro,nosuid,nodev,noexec,relatime,user_id=%d,group_id=%d 0 0\n", userUID, userGID)
	if !strings.HasSuffix(mounts, want) || strings.Count(mounts, "user_id="+fmt.Sprint(userUID)) != 1 || !strings.Contains(mounts, "proc /run/aggrfs-native proc") {
		t.Errorf("the mounts are:\n%s", mounts)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil || !strings.Contains(string(status), "CapPrm:\t0000000000200000\n") {
		t.Errorf("%v: the helper has more than cap_sys_admin:\n%s", err, status)
	}
	// Nothing in it has a name that the Go runtime knows.
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", cmd.Process.Pid))
	if err != nil || !strings.Contains(string(environ), ":GODEBUG=inittrace=1\x00") || strings.HasPrefix(string(environ), "GO") || strings.Contains(string(environ), "\x00GO") {
		t.Errorf("%v: the helper's environment is %q", err, environ)
	}
	// The user cannot look into it.
	attach := exec.Command("cat", fmt.Sprintf("/proc/%d/environ", cmd.Process.Pid))
	attach.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: userUID, Gid: userGID}}
	if text, err := attach.CombinedOutput(); err == nil {
		t.Errorf("the user reads %q", text)
	}
}

// mountsOf is the table of the thread that has a mount namespace of its own.
func mountsOf(t *testing.T, pid int) string {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		if text, err := os.ReadFile(task + "/mounts"); err == nil && strings.Contains(string(text), "aggrfs /proc") {
			return string(text)
		}
	}
	return ""
}
