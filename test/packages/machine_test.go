//go:build packages

package packages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/test/wait"
)

// debian is where make prepare-packages puts the Debian root.
const debian = "../../bin/root/root.tar"

// unpack makes a Debian root for this test alone.
func unpack(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat(debian); err != nil {
		t.Fatalf("there is no Debian root (run: make test-packages, which gets it): %v", err)
	}
	root := t.TempDir()
	command(t, "tar", "--extract", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--directory", root, "--file", debian)
	if err := os.WriteFile(filepath.Join(root, "etc/hostname"), []byte("n001\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

// command runs a program of the machine that the test runs on, which must do what it is to, and
// returns what it prints.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*wait.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd, err, out, &stderr)
	}
	return string(out)
}

// A machine is a Debian root in which systemd is process 1.
type machine struct {
	root string
	init int // systemd's pid, as this machine has it
}

// boot starts a root, and ends it with the test.
func boot(t *testing.T, root string) *machine {
	t.Helper()
	script, err := filepath.Abs("boot.sh")
	if err != nil {
		t.Fatal(err)
	}
	group := makeCgroup(t)
	// The shell is in the group before it makes a namespace of cgroups, whose root that group is.
	// What ends unshare ends the machine.
	cmd := exec.Command("sh", "-c", `echo $$ >"$1/cgroup.procs" && exec unshare --mount --pid --fork --kill-child --uts --ipc --net --cgroup "$2" "$3"`, "sh", group, script, root)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	m := &machine{root: root}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		wait.For(t, "the end of the machine", func() error {
			if m.init != 0 && syscall.Kill(m.init, 0) == nil {
				return errors.New("its systemd is there")
			}
			return nil
		})
		removeCgroup(t, group)
	})
	wait.For(t, "start systemd", func() error {
		select {
		case err := <-ended:
			t.Fatalf("the machine ended: %v\n%s", err, &log)
		default:
		}
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
		if err != nil {
			return err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(children)))
		if err != nil {
			return err
		}
		if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err != nil || string(name) != "systemd\n" {
			return fmt.Errorf("process 1 is %q, %v", name, err)
		}
		m.init = pid
		return nil
	})
	wait.For(t, "boot", func() error {
		state, err := m.try("systemctl is-system-running")
		if strings.TrimSpace(state) == "running" {
			return nil
		}
		failed, _ := m.try("systemctl list-jobs --no-pager; systemctl --failed --no-pager")
		return fmt.Errorf("%s, %v\n%s", state, err, failed)
	})
	return m
}

// try runs a shell script on the machine, as root, and returns all that it prints.
func (m *machine) try(script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--target", strconv.Itoa(m.init), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
		"env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root", "DEBIAN_FRONTEND=noninteractive", "bash", "-e", "-o", "pipefail", "-c", script)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run runs a shell script on the machine that must succeed.
func (m *machine) run(t *testing.T, script string) string {
	t.Helper()
	out, err := m.try(script)
	if err != nil {
		journal, _ := m.try("systemctl --failed --no-pager; journalctl --no-pager --lines=30")
		t.Fatalf("%s: %v\n%s\n%s", script, err, out, journal)
	}
	return out
}

// waitFor runs a script until it succeeds.
func (m *machine) waitFor(t *testing.T, what, script string) {
	t.Helper()
	wait.For(t, what, func() error {
		if out, err := m.try(script); err != nil {
			return fmt.Errorf("%s: %w: %s", script, err, out)
		}
		return nil
	})
}

// makeCgroup makes a cgroup in the hierarchy of version 2, wherever that is mounted or not.
func makeCgroup(t *testing.T) string {
	t.Helper()
	mount := t.TempDir()
	if err := syscall.Mount("cgroup2", mount, "cgroup2", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		t.Fatalf("mount cgroup2: %v: this kernel must have cgroups of version 2", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mount, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	group := filepath.Join(mount, "aggrfs-packages-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	return group
}

// removeCgroup removes a cgroup and those that systemd has made in it, once all in them have
// ended.
func removeCgroup(t *testing.T, group string) {
	t.Helper()
	wait.For(t, "remove the machine's cgroup", func() error {
		var all []string
		err := filepath.WalkDir(group, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				all = append(all, path)
			}
			return err
		})
		for i := len(all) - 1; i >= 0 && err == nil; i-- {
			err = os.Remove(all[i])
		}
		return err
	})
}
