package main

import (
	"path/filepath"
	"unsafe"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// oneThreaded are programs that look at one file of /proc after another, and do nothing
// beside that.
var oneThreaded = map[string]bool{
	"free": true, "fuser": true, "htop": true, "killall": true, "lsof": true, "pgrep": true,
	"pidof": true, "pkill": true, "pmap": true, "prtstat": true, "ps": true, "pstree": true,
	"pwdx": true, "slabtop": true, "tload": true, "top": true, "uptime": true, "vmstat": true, "w": true,
}

// cpuFlag is --one-cpu: whether a command and who answers it share one CPU. A
// command of one thread waits for each answer, and its server for each question, so
// that nothing is gained by two CPUs; and to wake another one takes longer than most
// answers do, above all in a virtual machine.
type cpuFlag struct {
	cmd   *cobra.Command
	value bool
}

const cpuFlagName = "one-cpu"

func (f *cpuFlag) add(cmd *cobra.Command) {
	f.cmd = cmd
	cmd.Flags().BoolVar(&f.value, cpuFlagName, false, "run COMMAND and its tree on one CPU, which is faster if COMMAND has one thread (default: for ps, top and the like, and with --prefetched)")
}

// choose returns the CPU for this command and tree; nil is all of them.
func (f *cpuFlag) choose(argv []string, prefetched bool) *unix.CPUSet {
	one := prefetched || oneThreaded[filepath.Base(argv[0])]
	if f.cmd.Flags().Changed(cpuFlagName) {
		one = f.value
	}
	if !one {
		return nil
	}
	return thisCPU()
}

// thisCPU is the CPU that this thread runs on; nil where that is not known, or is the
// only one anyway.
func thisCPU() *unix.CPUSet {
	var may, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil || may.Count() < 2 {
		return nil
	}
	var cpu uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 || !may.IsSet(int(cpu)) {
		return nil
	}
	one.Set(int(cpu))
	return &one
}
