package nsexec_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/nsexec"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// clocks prints what the native procfs says of the machine's boot, and the
// watcher's time namespace and the command's.
const clocks = `native=$(dirname $(readlink /proc/self))
	cut -d. -f1 $native/uptime; sed -n 's/^btime //p' $native/stat; readlink $native/$$/ns/time`

// parseClocks reads what clocks has printed.
func parseClocks(t *testing.T, out string) (uptime, btime int64, namespace string) {
	t.Helper()
	if _, err := fmt.Sscan(out, &uptime, &btime, &namespace); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return uptime, btime, namespace
}

// The command's machine booted earlier by the offset, whoever runs it.
func TestBootOffset(t *testing.T) {
	vfstest.FuseForAll(t)
	const offset = 1000000
	here, err := exec.Command("sh", "-c", `cut -d. -f1 /proc/uptime; sed -n 's/^btime //p' /proc/stat; readlink /proc/self/ns/time`).Output()
	if err != nil {
		t.Fatal(err)
	}
	uptime, btime, namespace := parseClocks(t, string(here))
	for _, user := range []string{"root", "a user"} {
		t.Run(user, func(t *testing.T) {
			cmd, _ := asUser(t, "sh", "-c", clocks)
			if user == "root" {
				cmd = command(t, asideIn(t), "sh", "-c", clocks)
			}
			cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%ds", offsetVariable, offset))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			up, booted, ns := parseClocks(t, string(out))
			if d := up - uptime; d < offset || d > offset+60 {
				t.Errorf("up %d s, and %d s outside", up, uptime)
			}
			if d := btime - booted; d < offset-2 || d > offset+2 {
				t.Errorf("booted at %d, and at %d outside", booted, btime)
			}
			if ns == namespace {
				t.Error("the command is in the time namespace of the test")
			}
		})
	}
}

// Offsets add up, and a trial says that they do.
func TestBootOffsetNested(t *testing.T) {
	cmd := command(t, asideIn(t), "sh", "-c", clockVariable+"=y "+serverVariable+"= $1; "+offsetVariable+"=50s $1 env "+clockVariable+"=y "+serverVariable+"= $1", "sh", readable(t))
	cmd.Env = append(cmd.Env, offsetVariable+"=100s")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "true 1m40s\ntrue 2m30s\n" {
		t.Errorf("%v: %s", err, out)
	}
	user := exec.Command("/proc/self/exe")
	user.Env = append(os.Environ(), clockVariable+"=y")
	user.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: userUID, Gid: userGID}}
	if out, err := user.CombinedOutput(); err != nil || string(out) != "true 0s\n" {
		t.Errorf("a user: %v: %s", err, out)
	}
}

// Without time namespaces the command has the machine's clock.
func TestBootOffsetForbidden(t *testing.T) {
	vfstest.FuseForAll(t)
	cmd, _ := asUser(t)
	script := `echo 0 >/proc/sys/user/max_time_namespaces; exec "$@"`
	cmd.SysProcAttr.Credential = nil
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
	whole := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 70000}}
	cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = whole, whole
	cmd.SysProcAttr.GidMappingsEnableSetgroups = true
	cmd.Env = append(cmd.Env, offsetVariable+"=1000000s")
	program := readable(t)
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", script, "sh", "setpriv", "--reuid", fmt.Sprint(userUID), "--regid", fmt.Sprint(userGID), "--clear-groups",
		"sh", "-c", clockVariable + "=y " + serverVariable + "= $1; $1 sh -c \"$2\"", "sh", program, clocks}
	out, err := cmd.CombinedOutput()
	says, rest, _ := strings.Cut(string(out), "\n")
	if err != nil || says != "false 0s" {
		t.Fatalf("%v: %s", err, out)
	}
	if up, _, _ := parseClocks(t, rest); up > 1000000 {
		t.Errorf("up %d s", up)
	}
}

func TestBootOffsetRefused(t *testing.T) {
	dev, err := openDevice()
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	for _, offset := range []time.Duration{-time.Second, time.Millisecond, 1 << 62} {
		s := spec(dev, asideIn(t), "true")
		s.BootOffset = offset
		if code, err := nsexec.Run(context.Background(), s); code != nsexec.CodeFailed || err == nil || !strings.Contains(err.Error(), "BootOffset") {
			t.Errorf("%v: got %d, %v", offset, code, err)
		}
	}
}
