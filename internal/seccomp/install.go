// Package seccomp has the system calls of a command that name processes of other machines
// answered by another process: a filter of one table, and the listener that gets what it sends.
//
// The numbers are such as no kernel gives out (above MaxPID, or below its negative), so that the
// kernel knows no process by them. Everything else, and every call of the processor's other ABIs
// (i386, x32, 32-bit ARM), never leaves the kernel.
//
// [Install] puts the filter on the calling thread, which keeps it across execve(2), as do all
// that it starts. It takes no_new_privs, or CAP_SYS_ADMIN in the thread's user namespace. One
// filter of a thread, and of those before it, can have a listener.
//
// A call waits until its answer is sent. With the listener closed it fails with ENOSYS, as do
// all after it, for good. See seccomp(2) and seccomp_unotify(2).
package seccomp

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrTaken is that the thread has a filter with a listener already, or one of its ancestors gave
// it one: of an aggrfs exec above this one, or of a container.
var ErrTaken = errors.New("a seccomp filter above has a listener already, and the kernel allows one")

// ErrUnknown is that this processor, or this kernel (before Linux 5.0), has no such filters.
var ErrUnknown = errors.New("no seccomp filters with a listener on this kernel or processor")

// Install puts the filter on the calling thread, which must be locked to its goroutine, and
// returns the descriptor of its listener, close-on-exec. ErrTaken and ErrUnknown are why there is
// none; nothing has changed then.
func Install() (listener int, err error) {
	program := filter()
	if program == nil {
		return -1, ErrUnknown
	}
	of := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// Without SPEC_ALLOW some kernels make every program below slower; and calls of Go programs are
	// interrupted all the time where they are not killable only, which takes Linux 5.19.
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	for _, more := range []uintptr{unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, 0} {
		fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags|more, uintptr(unsafe.Pointer(&of)))
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EBUSY:
			return -1, ErrTaken
		case unix.EINVAL, unix.ENOSYS:
		default:
			return -1, fmt.Errorf("install a seccomp filter: %w", errno)
		}
	}
	return -1, ErrUnknown
}
