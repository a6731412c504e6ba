package mount

import (
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// oneThreaded are programs that look at one file of /proc after another, and do nothing
// beside that.
var oneThreaded = map[string]bool{
	"free": true, "fuser": true, "htop": true, "killall": true, "lsof": true, "pgrep": true,
	"pidof": true, "pkill": true, "pmap": true, "prtstat": true, "ps": true, "pstree": true,
	"pwdx": true, "slabtop": true, "tload": true, "top": true, "uptime": true, "vmstat": true, "w": true,
}

// readsOnce are programs that look at a file of /proc, read it, and do not come back to it while
// it is open. Those that keep a file open and read it again, as top does with /proc/stat, are not
// among them.
var readsOnce = map[string]bool{"pgrep": true, "pidof": true, "pidwait": true, "pkill": true, "ps": true}

// cpus are those that the command and its tree stay on; nil is all of them.
//
// A command of one thread waits for each answer, and its server for each question, so
// that nothing is gained by two CPUs; and to wake another one takes longer than most
// answers do, above all in a virtual machine.
func (o ExecOptions) cpus(argv []string) *unix.CPUSet {
	one := o.Prefetched || oneThreaded[filepath.Base(argv[0])]
	if o.OneCPU != nil {
		one = *o.OneCPU
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
