package main

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// onOneCPU begins this program again on one of the CPUs that it may use, if there are
// several: a command that looks at one file after another waits for each answer, and
// the server for each question, so that nothing is gained by two CPUs; and to wake
// another one takes longer than most answers do. What is started from here on, the
// command above all, stays on that CPU too.
func onOneCPU() error {
	var may, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil || may.Count() < 2 {
		return nil // as it is
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var cpu uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 || !may.IsSet(int(cpu)) {
		return nil
	}
	one.Set(int(cpu))
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return nil
	}
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}
