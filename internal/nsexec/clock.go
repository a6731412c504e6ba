package nsexec

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/olderkernel"
)

// MaxBootOffset is the most that Spec.BootOffset may be: more than any machine has been up.
const MaxBootOffset = 1 << 30 * time.Second

// checkBootOffset reports whether a time namespace can have the offset.
func checkBootOffset(d time.Duration) error {
	if d < 0 || d > MaxBootOffset || d%time.Second != 0 {
		return fmt.Errorf("nsexec: BootOffset %v is not a whole number of seconds from 0 to %d", d, MaxBootOffset/time.Second)
	}
	return nil
}

// shiftClock has the calling thread, which must be locked, enter a time namespace
// when it executes a program, whose CLOCK_BOOTTIME is that much ahead of this
// one's. Kernels since 6.3 do so; before, only children entered it.
func shiftClock(proc string, by time.Duration) error {
	if by == 0 {
		return nil
	}
	now, err := bootOffset(proc)
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWTIME); err != nil {
		return fmt.Errorf("make a time namespace: %w", err)
	}
	text := fmt.Sprintf("boottime %d 0\n", (now+by)/time.Second)
	if err := os.WriteFile(offsetsOf(proc), []byte(text), 0); err != nil {
		return fmt.Errorf("set the clock of the time namespace: %w", err)
	}
	return nil
}

// offsetsOf is the file of the calling thread's offsets.
func offsetsOf(proc string) string { return fmt.Sprintf("%s/%d/timens_offsets", proc, unix.Gettid()) }

// noTimeNamespaces reports whether an error of shiftClock's means that they are
// not to be had here.
func noTimeNamespaces(err error) bool {
	return slices.ContainsFunc([]error{unix.EINVAL, unix.ENOSPC, unix.ENOENT, unix.EPERM}, func(e error) bool { return errors.Is(err, e) })
}

// BootOffset is how far CLOCK_BOOTTIME of this process is ahead of the
// machine's: 0 but for a process that runs under a Run with Spec.BootOffset, or
// in another's time namespace.
func BootOffset() time.Duration {
	proc, err := Native("")
	if err != nil {
		return 0
	}
	d, err := bootOffset(proc)
	if err != nil {
		return 0
	}
	return d
}

// bootOffset is BootOffset by the procfs at that path.
func bootOffset(proc string) (time.Duration, error) {
	text, err := os.ReadFile(offsetsOf(proc))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		var seconds, nanoseconds int64
		if n, _ := fmt.Sscanf(line, "boottime %d %d", &seconds, &nanoseconds); n == 2 {
			return time.Duration(seconds)*time.Second + time.Duration(nanoseconds), nil
		}
	}
	return 0, fmt.Errorf("%s has no line boottime", offsetsOf(proc))
}

// clockName is the name that this program is started under to try what
// CanShift asks.
const clockName = "aggrfs-exec-clock"

// CanShift reports whether Spec.BootOffset has an effect for this process, by
// trying it. Where it has none, Run goes on without.
func CanShift() bool {
	if helper() != "" || olderkernel.Lacks(olderkernel.Clock) {
		return false // which may not set clocks
	}
	native, err := Native("")
	if err != nil {
		return false
	}
	attr := stageAttr(os.Geteuid() != 0)
	attr.Cloneflags &^= unix.CLONE_NEWNS
	pid, err := syscall.ForkExec(native+"/self/exe", []string{clockName, native}, &syscall.ProcAttr{Env: os.Environ(), Sys: attr})
	if err != nil {
		return false
	}
	trial, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	kill := time.AfterFunc(setupDeadline, func() { trial.Kill() })
	defer kill.Stop()
	state, err := trial.Wait()
	return err == nil && state.Success()
}

// trialOffset is what the trial sets its clock ahead.
const trialOffset = time.Second

// tryClock is the process that CanShift starts: it sets the clock and executes
// itself, and then looks.
func tryClock(args []string) int {
	if len(args) == 1 {
		before, err := bootOffset(args[0])
		if err == nil && shiftClock(args[0], trialOffset) == nil {
			syscall.Exec(args[0]+"/self/exe", []string{clockName, args[0], fmt.Sprint(int64(before + trialOffset))}, os.Environ())
		}
		return CodeFailed
	}
	offset, err := bootOffset(args[0])
	if err != nil || fmt.Sprint(int64(offset)) != args[1] {
		return CodeFailed
	}
	// The offsets are those of the children's namespace.
	mine, err := os.Readlink(args[0] + "/self/ns/time")
	if err != nil {
		return CodeFailed
	}
	if theirs, err := os.Readlink(args[0] + "/self/ns/time_for_children"); err != nil || theirs != mine {
		return CodeFailed
	}
	return 0
}
