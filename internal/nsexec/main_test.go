package nsexec_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/nsexec"
	"go.uber.org/goleak"
)

// serverVariable makes this test program a server: `aggrfs exec`, so to speak.
// Its value is where the native procfs is to be kept.
const serverVariable = "NSEXEC_TEST_ASIDE"

// defaultAside is that value for what Aside says.
const defaultAside = "default"

// offsetVariable is the server's Spec.BootOffset.
const offsetVariable = "NSEXEC_TEST_OFFSET"

// waitVariable is the server's Spec.Wait.
const waitVariable = "NSEXEC_TEST_WAIT"

// clockVariable makes this test program print what CanShift says.
const clockVariable = "NSEXEC_TEST_CLOCK"

func TestMain(m *testing.M) {
	nsexec.Stage()
	if aside := os.Getenv(serverVariable); aside != "" {
		os.Exit(server(aside, os.Args[1:]))
	}
	if os.Getenv(clockVariable) != "" {
		fmt.Println(nsexec.CanShift(), nsexec.BootOffset())
		os.Exit(0)
	}
	// Under nohup(1), or in the background of a script, a signal is ignored, and what is started
	// here would go on to ignore it. With a handler it is not.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT)
	goleak.VerifyTestMain(m)
}

// server runs a command on the test's tree.
func server(aside string, argv []string) int {
	if aside == defaultAside {
		aside = nsexec.Aside()
	}
	dev, err := openDevice()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return nsexec.CodeFailed
	}
	s := spec(dev, aside, argv...)
	s.BootOffset, _ = time.ParseDuration(os.Getenv(offsetVariable))
	s.Wait = os.Getenv(waitVariable) != ""
	code, err := nsexec.Run(context.Background(), s)
	if err != nil {
		fmt.Fprintln(os.Stderr, "failed:", err)
	}
	return code
}

func spec(dev *os.File, aside string, argv ...string) nsexec.Spec {
	return nsexec.Spec{
		Argv: argv, Device: dev, Aside: aside,
		Mount: func(fd int) nsexec.Mount {
			return nsexec.Mount{
				Source: "test", FSType: "fuse.aggrfs", Flags: syscall.MS_NODEV | syscall.MS_NOSUID,
				Data: fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d", fd, os.Geteuid(), os.Getegid()) + allowOther(),
			}
		},
		Serve: func() error { go serveTree(int(dev.Fd()), aside); return nil },
	}
}

// allowOther lets root's commands be other users; a user's are all the user's.
func allowOther() string {
	if os.Geteuid() == 0 {
		return ",allow_other"
	}
	return ""
}

// start starts a server that runs argv and collects what it prints.
func start(t *testing.T, aside string, argv ...string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	var out strings.Builder
	cmd := command(t, aside, argv...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, &out
}

// startShell has a shell script start the server: it is "$@".
func startShell(t *testing.T, aside, script string, argv ...string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd := command(t, aside, append([]string{"-c", script, "bash", self}, argv...)...)
	cmd.Path, cmd.Args[0] = "/bin/bash", "bash"
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, &out
}

// command is a server, which is killed at the end of the test if it still runs.
func command(t *testing.T, aside string, argv ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", argv...)
	// A program with the race detector sleeps for a second before it ends.
	cmd.Env = append(os.Environ(), serverVariable+"="+aside, "GORACE=atexit_sleep_ms=0")
	cmd.WaitDelay = 10 * time.Second // what it left may hold the output
	t.Cleanup(func() {
		if cmd.Process != nil && cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return cmd
}

// run runs argv to its end and returns exit status and output.
func run(t *testing.T, aside string, argv ...string) (int, string) {
	t.Helper()
	cmd, out := start(t, aside, argv...)
	cmd.Wait()
	return cmd.ProcessState.ExitCode(), out.String()
}
