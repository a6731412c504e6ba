package actor

import (
	"errors"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/control"
)

// signalThread is PIDFD_SIGNAL_THREAD of linux/pidfd.h, since Linux 6.9.
const signalThread = 1

// do carries out a job with the rights that the process has, and returns what an action that
// reads is answered.
func do(j Job) (value string, err error) {
	id := j.PID
	if j.TID != 0 {
		id = j.TID
	}
	arg := func(i int) string { return j.Args[i] } // ParseAction has seen to it that it is there
	switch j.Verb {
	case "probe":
		return "", signal(j, 0, nil)
	case "signal":
		n, err := control.SignalNumber(arg(0))
		if err != nil {
			return "", syscall.EINVAL
		}
		return "", signal(j, n, nil)
	case "sigqueue":
		n, err := control.SignalNumber(arg(0))
		value, verr := strconv.ParseInt(arg(1), 10, 64)
		if err != nil || verr != nil {
			return "", syscall.EINVAL
		}
		return "", signal(j, n, queued(n, int32(value)))
	case "getpgid":
		return number(unix.Getpgid(id))
	case "getsid":
		return number(unix.Getsid(id))
	}
	s, ok := settings[j.Verb]
	if ok {
		return "", set(j, id, s)
	}
	for _, s := range settings {
		if s.reads == j.Verb {
			return read(j, id, s)
		}
	}
	return "", syscall.EINVAL
}

func number(n int, err error) (string, error) { return strconv.Itoa(n), err }

// signal sends a signal, or only asks whether it could be sent, to what the descriptor is bound
// to. A thread by itself is reached so since Linux 6.9; before, by its number and that of its
// process, which is asked about right before.
func signal(j Job, n int, info *unix.Siginfo) error {
	flags := 0
	if j.TID != 0 {
		flags = signalThread
	}
	err := pidfdSendSignal(j.Dir, n, info, flags)
	if j.TID == 0 || err != syscall.EINVAL {
		return err
	}
	if gone(j) {
		return syscall.ESRCH
	}
	if info != nil {
		return errnoOf(unix.RawSyscall6(unix.SYS_RT_TGSIGQUEUEINFO, uintptr(j.PID), uintptr(j.TID), uintptr(n), uintptr(unsafe.Pointer(info)), 0, 0))
	}
	return unix.Tgkill(j.PID, j.TID, syscall.Signal(n))
}

func pidfdSendSignal(fd, n int, info *unix.Siginfo, flags int) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PIDFD_SEND_SIGNAL, uintptr(fd), uintptr(n), uintptr(unsafe.Pointer(info)), uintptr(flags), 0, 0)
	runtime.KeepAlive(info)
	if errno == 0 {
		return nil
	}
	return errno
}

// queued is the siginfo of a queued signal, as sigqueue(3) makes it. It has no sender's pid: there
// is none on this node.
func queued(n int, value int32) *unix.Siginfo {
	const siQueue = -1 // SI_QUEUE of asm-generic/siginfo.h
	info := &unix.Siginfo{Signo: int32(n), Code: siQueue}
	// Behind the three ints, aligned as a pointer is: pid, uid, value.
	at := unsafe.Add(unsafe.Pointer(info), alignUp(12, unsafe.Sizeof(uintptr(0))))
	*(*uint32)(unsafe.Add(at, 4)) = uint32(unix.Getuid())
	*(*int32)(unsafe.Add(at, 8)) = value
	return info
}

func alignUp(n, to uintptr) uintptr { return (n + to - 1) / to * to }

// gone reports whether what the descriptor is bound to has ended. Until then nothing else has its
// number.
func gone(j Job) bool { return errors.Is(pidfdSendSignal(j.Dir, 0, nil, 0), syscall.ESRCH) }

// A setting is something of a process that has a value, by number.
type setting struct {
	reads string // the verb that reads it
	// parse and format are of the words behind the verb; the resource of a limit is the first.
	set func(id int, args []string) error
	get func(id int, args []string) (string, error)
}

// settings are by the verb that sets them.
var settings = map[string]setting{
	"nice": {"get-nice", func(id int, args []string) error {
		n, _ := strconv.Atoi(args[0])
		return unix.Setpriority(unix.PRIO_PROCESS, id, n)
	}, func(id int, _ []string) (string, error) {
		n, err := unix.Getpriority(unix.PRIO_PROCESS, id)
		return strconv.Itoa(20 - n), err // see getpriority(2), C library/kernel differences
	}},
	"affinity": {"get-affinity", setAffinity, getAffinity},
	"ioprio":   {"get-ioprio", setIoprio, getIoprio},
	"sched":    {"get-sched", setScheduler, getScheduler},
	"rlimit":   {"get-rlimit", setLimit, getLimit},
}

// read is the value of a setting, of the process that the descriptor is bound to.
func read(j Job, id int, s setting) (string, error) {
	value, err := s.get(id, j.Args)
	if gone(j) {
		return "", syscall.ESRCH
	}
	return value, err
}

// set changes a setting. If the process has ended meanwhile, another one can have had its number;
// that gets back what was there.
func set(j Job, id int, s setting) error {
	before, err := s.get(id, j.Args)
	if gone(j) {
		return syscall.ESRCH
	}
	readable := err == nil
	err = s.set(id, j.Args)
	if !gone(j) {
		return err
	}
	if err == nil && readable {
		if a, parsed := control.ParseAction(backTo(j.Action, before)); parsed == nil {
			_ = s.set(id, a.Args) // whatever comes of it: there may be nobody by now
		}
	}
	return syscall.ESRCH
}

// backTo are the words that bring a value back which was read.
func backTo(a control.Action, value string) []string {
	words := []string{a.Verb}
	switch a.Verb {
	case "rlimit":
		return append(words, a.Args[0], value)
	case "sched":
		policy, priority := cutWord(value)
		return append(words, policy, priority)
	}
	return append(words, value)
}

func errnoOf(_, _ uintptr, errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}
