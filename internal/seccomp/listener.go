package seccomp

import (
	"errors"
	"io"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Notification is a call that waits for its answer: struct seccomp_notif of linux/seccomp.h.
type Notification struct {
	ID    uint64 // of the call, for as long as it waits
	TID   uint32 // of the thread that makes it, in this process' pid namespace; 0 is that it is outside
	flags uint32
	Nr    int32 // of the system call
	arch  uint32
	ip    uint64
	Args  [6]uint64
}

// Int is an argument as the kernel takes an int: the lower 32 bits.
func (n *Notification) Int(arg int) int32 { return int32(uint32(n.Args[arg])) }

// An Answer is what a call returns.
type Answer struct {
	Value int64
	Errno unix.Errno // 0 is that it returns Value
	// Continue has the kernel carry out the call, with what its registers hold. What pointers lead to
	// may be other by then than it was: only for what the kernel may decide by itself.
	Continue bool
}

// response is struct seccomp_notif_resp, and addition struct seccomp_notif_addfd.
type (
	response struct {
		id    uint64
		value int64
		err   int32
		flags uint32
	}
	addition struct {
		id             uint64
		flags, from    uint32
		to, descriptor uint32
	}
)

// A Listener gets the calls that a filter sends. Its methods may be called concurrently, but for
// Close, which comes last and once.
type Listener struct {
	fd, stop int
	once     sync.Once
}

// NewListener takes over the descriptor of a listener.
func NewListener(fd int) (*Listener, error) {
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd2", err)
	}
	// The thread that waits runs on at once, on the processor of who answers (Linux 6.6).
	unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	return &Listener{fd: fd, stop: stop}, nil
}

// Receive waits for a call. io.EOF is that nobody is left who has the filter, or that Stop was
// called.
func (l *Listener) Receive() (Notification, error) {
	for {
		poll := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}, {Fd: int32(l.stop), Events: unix.POLLIN}}
		_, err := unix.Poll(poll, -1)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return Notification{}, os.NewSyscallError("poll", err)
		case poll[1].Revents != 0 || poll[0].Revents&unix.POLLIN == 0:
			return Notification{}, io.EOF
		}
		var n Notification
		err = l.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n))
		// ENOENT: a signal has interrupted the call.
		if err != unix.ENOENT && err != unix.EINTR {
			return n, os.NewSyscallError("ioctl SECCOMP_IOCTL_NOTIF_RECV", err)
		}
	}
}

// Valid reports whether the call still waits, and so whether its thread is who made it.
func (l *Listener) Valid(id uint64) bool {
	return l.ioctl(unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&id)) == nil
}

// Answer answers a call, and reports whether it got the answer: one that was interrupted has not.
func (l *Listener) Answer(id uint64, a Answer) bool {
	r := response{id: id, value: a.Value, err: -int32(a.Errno)}
	switch {
	case a.Continue:
		r = response{id: id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	case a.Errno != 0:
		r.value = 0
	}
	return l.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)) == nil
}

// Replace puts a copy of an open descriptor in the place of one of the thread's that waits, as
// dup2(2) does; Linux 5.9.
func (l *Listener) Replace(id uint64, theirs, by int, cloexec bool) error {
	a := addition{id: id, flags: unix.SECCOMP_ADDFD_FLAG_SETFD, from: uint32(by), to: uint32(theirs)}
	if cloexec {
		a.descriptor = unix.O_CLOEXEC
	}
	return l.ioctl(unix.SECCOMP_IOCTL_NOTIF_ADDFD, unsafe.Pointer(&a))
}

// Stop ends Receive.
func (l *Listener) Stop() {
	l.once.Do(func() { unix.Write(l.stop, []byte{7: 1}) })
}

// Close closes the listener. Calls that wait, and all that come, are ENOSYS.
func (l *Listener) Close() error {
	return errors.Join(unix.Close(l.fd), unix.Close(l.stop))
}

// ioctl returns an errno, or nil.
func (l *Listener) ioctl(request uintptr, arg unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(l.fd), request, uintptr(arg))
	if errno != 0 {
		return errno
	}
	return nil
}
