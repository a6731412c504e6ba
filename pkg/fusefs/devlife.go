package fusefs

import (
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// mountPoll is how often a device that is not mounted yet is asked whether it
// is, in milliseconds: nothing tells of it.
const mountPoll = 2

// awaitMount waits until the device is mounted. Until then a read is EPERM;
// from then on one with no room for a request is EINVAL.
func (d *device) awaitMount() error {
	for !d.stopped.Load() {
		_, err := unix.Read(d.fd, make([]byte, 1))
		switch err {
		case unix.EINVAL:
			return d.watch(d.fd) // not before: epoll would not hear from it
		case unix.EPERM, unix.EINTR:
		default:
			return err
		}
		stop := []unix.PollFd{{Fd: int32(d.event), Events: unix.POLLIN}}
		if _, err := unix.Poll(stop, mountPoll); err != nil && err != unix.EINTR {
			return err
		}
	}
	return errStopped
}

// refuse fails the requests that nobody has read: another process may keep the
// device open, and their callers would wait for as long as it does.
func (d *device) refuse() {
	buf := make([]byte, requestSize)
	for {
		n, err := unix.Read(d.fd, buf)
		if err == unix.EINTR || err == unix.ENOENT {
			continue
		}
		if err != nil || n < headerSize {
			return
		}
		if op := opcode(buf); op == opForget || op == opBatchForget || op == opInterrupt {
			continue
		}
		var out [16]byte
		failure(out[:], (*fuse.InHeader)(unsafe.Pointer(unsafe.SliceData(buf))).Unique, unix.ENOTCONN)
		_ = d.write(out[:])
	}
}
