package nsexec_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/test/wait"
)

// native waits until /proc is a procfs again and writes what it finds.
const native = `until cat /proc/uptime >/dev/null 2>&1; do sleep 0.01; done
test ! -e /proc/tree && test "$(readlink /proc/self/ns/pid)" && ps -p $$ -o args= >/dev/null && echo native >>$1`

// Processes that outlive the command, or the server, get the native procfs.
func TestOutlive(t *testing.T) {
	leave := `exec >/dev/null 2>&1; setsid sh -c "$2" sh $1 &`
	for _, test := range []struct {
		name, script string
		kill         bool // the server, with SIGKILL
		lines        int
	}{
		{"background child", leave + "sleep 0.1", false, 1},
		{"many", leave + leave + leave + "sleep 0.1", false, 3},
		{"server killed", leave + `echo >$1.ready; sh -c "$2" sh $1`, true, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "out")
			cmd, _ := start(t, asideIn(t), "sh", "-c", test.script, "sh", file, native)
			if test.kill {
				wait.Until(t, "the command runs", func() bool { return exists(file + ".ready") })
				cmd.Process.Kill()
			}
			cmd.Wait()
			wait.Until(t, "all see the native procfs", func() bool {
				out, _ := os.ReadFile(file)
				return strings.Count(string(out), "native\n") == test.lines
			})
		})
	}
}

// With Wait what the command leaves has the tree until it ends by itself, and a signal ends the wait.
func TestWait(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	// A daemon: its parents end, and it is in a session of its own.
	script := `exec >/dev/null 2>&1; (setsid sh -c "$2" sh $1 &) & sleep 0.1; exit 7`
	daemon := `echo >$1.ready; until test -e $1.go; do sleep 0.01; done; cat /proc/tree >$1.tmp; mv $1.tmp $1`
	begin := func(t *testing.T, file, daemon string) *exec.Cmd {
		cmd := command(t, asideIn(t), "sh", "-c", script, "sh", file, daemon)
		cmd.Env = append(cmd.Env, waitVariable+"=1")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wait.Until(t, "the daemon runs", func() bool { return exists(file + ".ready") })
		return cmd
	}
	cmd := begin(t, file, daemon)
	if err := os.WriteFile(file+".go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if out, err := os.ReadFile(file); string(out) != treeText || cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("the daemon read %q, %v; exit status %d", out, err, cmd.ProcessState.ExitCode())
	}
	file += "2"
	cmd = begin(t, file, `echo >$1.ready; `+native)
	wait.Until(t, "the command has ended", func() bool {
		cmd.Process.Signal(syscall.SIGTERM) // before that it is the command's
		return cmd.ProcessState != nil || syscall.Kill(cmd.Process.Pid, 0) != nil || exists(file)
	})
	cmd.Wait()
	wait.Until(t, "the daemon sees the native procfs", func() bool { return exists(file) })
}

// A reader whose request is never answered ends when the server is killed.
func TestKilledServerFreesReaders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	script := `cat /proc/stuck & echo $! >$1.tmp; mv $1.tmp $1; wait $!; echo $? >$1.end`
	cmd, _ := start(t, asideIn(t), "sh", "-c", script, "sh", file)
	wait.Until(t, "the reader runs", func() bool { return exists(file) })
	text, _ := os.ReadFile(file)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	wait.Until(t, "the reader waits", func() bool {
		wchan, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/wchan")
		return strings.Contains(string(wchan), "request_wait_answer")
	})
	cmd.Process.Kill()
	cmd.Wait()
	wait.Until(t, "the reader ends", func() bool { return exists(file + ".end") })
}

// The watcher cannot be had by the signals that end a session.
func TestWatcherStays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	cmd, _ := start(t, asideIn(t), "sh", "-c", `echo >$1.ready; sh -c "$2" sh $1`, "sh", file, native)
	wait.Until(t, "the command runs", func() bool { return exists(file + ".ready") })
	watcher := childOf(t, cmd.Process.Pid, "aggrfs-exec-watcher")
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT} {
		syscall.Kill(watcher, s)
	}
	cmd.Process.Kill()
	cmd.Wait()
	wait.Until(t, "the command sees the native procfs", func() bool { return exists(file) })
}

// childOf finds the child of a process whose arguments begin so.
func childOf(t *testing.T, pid int, begin string) int {
	t.Helper()
	lists, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(children)) {
			args, _ := os.ReadFile("/proc/" + child + "/cmdline")
			if strings.HasPrefix(string(args), begin) {
				pid, _ := strconv.Atoi(child)
				return pid
			}
		}
	}
	t.Fatalf("process %d has no child %s", pid, begin)
	return 0
}
