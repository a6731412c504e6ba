package actor

import (
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/control"
)

func cutWord(text string) (first, rest string) {
	first, rest, _ = strings.Cut(text, " ")
	return first, rest
}

// mask are as many processors as a kernel can be built for (CONFIG_NR_CPUS).
type mask [8192 / 64]uint64

func setAffinity(id int, args []string) error {
	cpus, err := control.ParseCPUs(args[0])
	if err != nil {
		return syscall.EINVAL
	}
	var m mask
	for _, n := range cpus {
		m[n/64] |= 1 << (n % 64)
	}
	return errnoOf(unix.RawSyscall(unix.SYS_SCHED_SETAFFINITY, uintptr(id), unsafe.Sizeof(m), uintptr(unsafe.Pointer(&m))))
}

func getAffinity(id int, _ []string) (string, error) {
	var m mask
	if err := errnoOf(unix.RawSyscall(unix.SYS_SCHED_GETAFFINITY, uintptr(id), unsafe.Sizeof(m), uintptr(unsafe.Pointer(&m)))); err != nil {
		return "", err
	}
	var cpus []int
	for n := range 64 * len(m) {
		if m[n/64]>>(n%64)&1 == 1 {
			cpus = append(cpus, n)
		}
	}
	return control.FormatCPUs(cpus), nil
}

// ioprioWhoProcess is IOPRIO_WHO_PROCESS of linux/ioprio.h.
const ioprioWhoProcess = 1

func setIoprio(id int, args []string) error {
	n, err := control.ParseIoprio(args[0])
	if err != nil {
		return syscall.EINVAL
	}
	return errnoOf(unix.RawSyscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, uintptr(id), uintptr(n)))
}

func getIoprio(id int, _ []string) (string, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_IOPRIO_GET, ioprioWhoProcess, uintptr(id), 0)
	if errno != 0 {
		return "", errno
	}
	return control.FormatIoprio(int(n)), nil
}

func setScheduler(id int, args []string) error {
	policy, err := control.ParsePolicy(args[0])
	priority, perr := strconv.ParseInt(args[1], 10, 32)
	if err != nil || perr != nil {
		return syscall.EINVAL
	}
	param := int32(priority)
	return errnoOf(unix.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, uintptr(id), uintptr(policy), uintptr(unsafe.Pointer(&param))))
}

func getScheduler(id int, _ []string) (string, error) {
	policy, _, errno := unix.RawSyscall(unix.SYS_SCHED_GETSCHEDULER, uintptr(id), 0, 0)
	if errno != 0 {
		return "", errno
	}
	var param int32
	if err := errnoOf(unix.RawSyscall(unix.SYS_SCHED_GETPARAM, uintptr(id), uintptr(unsafe.Pointer(&param)), 0)); err != nil {
		return "", err
	}
	return control.FormatPolicy(int(policy)) + " " + strconv.Itoa(int(param)), nil
}

func setLimit(id int, args []string) error {
	resource, err := control.ParseResource(args[0])
	l, lerr := control.ParseLimits(args[1])
	if err != nil || lerr != nil {
		return syscall.EINVAL
	}
	return unix.Prlimit(id, resource, &l, nil)
}

func getLimit(id int, args []string) (string, error) {
	resource, err := control.ParseResource(args[0])
	if err != nil {
		return "", syscall.EINVAL
	}
	var l unix.Rlimit
	if err := unix.Prlimit(id, resource, nil, &l); err != nil {
		return "", err
	}
	return control.FormatLimits(l), nil
}
