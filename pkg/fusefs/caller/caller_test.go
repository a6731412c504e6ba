package caller

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A thread that waits for something else does not read a link, and of one that is not there it is not
// known. (That one which does is known for it, test/e2e tries with real programs.)
func TestReadsLink(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	if reads, known := ReadsLink(t.Context(), "/proc", uint32(cmd.Process.Pid)); reads || !known {
		t.Errorf("a thread that reads a pipe: reads a link %v, known %v", reads, known)
	}
	if reads, known := ReadsLink(t.Context(), "/proc", 1<<30); reads || known {
		t.Errorf("no thread: reads a link %v, known %v", reads, known)
	}
}

// What proc_pid_syscall(5) says, of 64-bit programs and of 32-bit ones, whose pointers are small.
func TestIsReadlink(t *testing.T) {
	const args, pointers, small = " 0x1 0x2 0x3 0x4 0x5 0x6", " 0x7ffce88f55a8 0x7fbe5a2ba2ad", " 0xff8c1d10 0xf7f1d559"
	for text, want := range map[string][2]bool{
		fmt.Sprint(unix.SYS_READLINKAT) + args + pointers: {true, true},
		fmt.Sprint(unix.SYS_OPENAT) + args + pointers:     {false, true},
		// The same number is another call of the other kind of program.
		fmt.Sprint(readlinks32[0]) + args + pointers: {false, true},
		fmt.Sprint(readlinks32[0]) + args + small:    {true, true},
		fmt.Sprint(readlinks32[1]) + args + small:    {true, true},
		"5" + args + small:                           {false, true},
		"257" + args + " 0x7ffce88f55a8 0x401000":    {false, true},
		"-1 0x7ffce88f55a8 0x7fbe5a2ba2ad":           {false, true}, // not in a system call
		"running\n":                                  {false, false},
		"":                                           {false, false},
	} {
		if is, known := isReadlink(text); is != want[0] || known != want[1] {
			t.Errorf("%q: %v, known %v", text, is, known)
		}
	}
}

// A thread that is about to wait is waited for: on a busy CPU that takes as long as it takes. The
// request's deadline ends it.
func TestReadsLinkOfARunningThread(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/7", 0o755); err != nil {
		t.Fatal(err)
	}
	say := func(text string) {
		t.Helper()
		if err := os.WriteFile(dir+"/new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir+"/new", dir+"/7/syscall"); err != nil {
			t.Fatal(err)
		}
	}
	say("running\n")
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if reads, known := ReadsLink(short, dir, 7); reads || known {
		t.Errorf("a thread that runs: reads a link %v, known %v", reads, known)
	}
	done := make(chan [2]bool)
	go func() {
		reads, known := ReadsLink(t.Context(), dir, 7)
		done <- [2]bool{reads, known}
	}()
	say(fmt.Sprint(unix.SYS_READLINKAT))
	if got := <-done; got != [2]bool{true, true} {
		t.Errorf("a thread that waits at last: %v", got)
	}
}
