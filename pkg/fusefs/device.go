package fusefs

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A device is /dev/fuse and a way to call its readers back.
//
// read(2) on the device cannot be ended from another thread, so readers wait
// in epoll_wait(2) for the device or the stop event, whichever comes first, and
// the device itself does not block. All wait on one epoll instance: a request
// then wakes one of them, and the one that waited least, whose caches are warm.
//
// Who closes: close is called by Server.end alone, when no reader is left
// but those in calls that do not end. Those come back to write and find closed
// set: the lock keeps the descriptor from being closed, and its number from
// being reused, under a write.
type device struct {
	file  *os.File
	fd    int
	epoll int
	event int  // eventfd(2), readable once the device is to be left
	lone  bool // readers and the requester share one CPU: a reader that polls keeps the requester from it

	stopped atomic.Bool
	mu      sync.RWMutex // guards closed, held by writers for the time of a write
	closed  bool
}

var errStopped = errors.New("the device is to be left")

func newDevice(file *os.File, cpus *unix.CPUSet) (*device, error) {
	d := &device{file: file, fd: int(file.Fd()), epoll: -1, event: -1}
	d.lone = runtime.NumCPU() == 1 || cpus != nil && cpus.Count() == 1
	err := unix.SetNonblock(d.fd, true)
	if err == nil {
		d.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	}
	if err == nil {
		d.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	}
	if err == nil {
		err = d.watch(d.event)
	}
	if err != nil {
		d.close()
		return nil, os.NewSyscallError("watch the FUSE device", err)
	}
	return d, nil
}

// spinTime is how long a reader asks the device over and over before it sleeps,
// if the last sleep was shorter than that: a program that works through a
// directory asks its next question some microseconds after each answer, and to
// be woken for it takes longer.
const spinTime = 40 * time.Microsecond

// A sleeper is what a reader knows about its last read.
type sleeper struct {
	waited bool // there was no request at first
	short  bool // and one came soon, the last time it had to wait
}

// read waits for a request and reads it. It fails with errStopped after stop,
// and with ENODEV when the mount is gone.
func (d *device) read(buf []byte, last *sleeper) (int, error) {
	var since time.Time // when there was nothing to read first
	last.waited = false
	for !d.stopped.Load() {
		n, err := unix.Read(d.fd, buf)
		switch err {
		case nil:
			if !since.IsZero() && !last.short {
				last.short = time.Since(since) < spinTime
			}
			return n, nil
		case unix.EAGAIN:
			switch {
			case since.IsZero():
				since, last.waited = time.Now(), true
			case last.short:
				last.short = time.Since(since) < spinTime
			}
			if !last.short || d.lone {
				if err := d.wait(); err != nil {
					return 0, err
				}
			}
		case unix.EINTR, unix.ENOENT: // ENOENT: the request was taken back
		default:
			return 0, err
		}
	}
	return 0, errStopped
}

func (d *device) wait() error {
	var events [1]unix.EpollEvent
	if _, err := unix.EpollWait(d.epoll, events[:], -1); err != nil && err != unix.EINTR {
		return err
	}
	return nil
}

// watch makes wait return when fd can be read.
func (d *device) watch(fd int) error {
	return unix.EpollCtl(d.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// write gives the kernel one answer or notification.
func (d *device) write(parts ...[]byte) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed {
		return unix.ENODEV
	}
	var iov [3]unix.Iovec
	for i, p := range parts {
		iov[i].Base = unsafe.SliceData(p)
		iov[i].SetLen(len(p))
	}
	_, _, errno := unix.Syscall(unix.SYS_WRITEV, uintptr(d.fd), uintptr(unsafe.Pointer(&iov[0])), uintptr(len(parts)))
	if errno != 0 {
		return errno
	}
	return nil
}

// stop makes every read end.
func (d *device) stop() {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if !d.stopped.Swap(true) && !d.closed {
		one := [8]byte{1}
		unix.Write(d.event, one[:])
	}
}

// close lets go of the device; the kernel then fails what is still asked of it.
func (d *device) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped.Store(true)
	if d.closed {
		return
	}
	d.closed = true
	for _, fd := range []int{d.epoll, d.event} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	d.file.Close()
}
