package device

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A descriptor is an open /dev/fuse and a way to call its readers back.
//
// read(2) on the device cannot be ended from another thread, so readers wait
// in epoll_wait(2) for the device or the stop event, whichever comes first, and
// the device itself does not block. All wait on one epoll instance: a request
// then wakes one of them, and the one that waited least, whose caches are warm.
//
// Whoever has a duplicate of the descriptor can make it block all the same, or take the
// request that woke a reader. That reader then is inside read(2) until the next request.
//
// Who closes: close is called when no reader is left but those in calls that do not end,
// and those inside read(2). The former come back to write and find closed
// set: the lock keeps the descriptor from being closed, and its number from
// being reused, under a write. With one of the latter the descriptor stays open until it
// has come back, and has refused what it read.
type descriptor struct {
	file  *os.File // nil if it is not ours to close
	fd    int
	epoll int
	event int  // eventfd(2), readable once the device is to be left
	lone  bool // readers and the requester share one CPU: a reader that polls keeps the requester from it

	stopped atomic.Bool
	inside  atomic.Int32 // readers in read(2)
	mu      sync.RWMutex // guards closed, held by writers for the time of a write
	closed  bool
}

var errStopped = errors.New("the device is to be left")

// newDescriptor prepares a device to be read. It owns file from here on, also when it fails.
func newDescriptor(file *os.File, cpus *unix.CPUSet) (*descriptor, error) {
	d, err := watchDescriptor(int(file.Fd()), cpus)
	if err != nil {
		file.Close()
		return nil, err
	}
	d.file = file
	return d, nil
}

// watchDescriptor is newDescriptor for a device that stays its owner's.
func watchDescriptor(fd int, cpus *unix.CPUSet) (*descriptor, error) {
	d := &descriptor{fd: fd, epoll: -1, event: -1}
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
func (d *descriptor) read(buf []byte, last *sleeper) (int, error) {
	var since time.Time // when there was nothing to read first
	last.waited = false
	for !d.stopped.Load() {
		d.inside.Add(1)
		n, err := unix.Read(d.fd, buf)
		d.inside.Add(-1)
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

func (d *descriptor) wait() error {
	var events [1]unix.EpollEvent
	if _, err := unix.EpollWait(d.epoll, events[:], -1); err != nil && err != unix.EINTR {
		return err
	}
	return nil
}

// watch makes wait return when fd can be read.
func (d *descriptor) watch(fd int) error {
	return unix.EpollCtl(d.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// write gives the kernel one answer or notification.
func (d *descriptor) write(parts ...[]byte) error {
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
func (d *descriptor) stop() {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if !d.stopped.Swap(true) && !d.closed {
		one := [8]byte{1}
		unix.Write(d.event, one[:])
	}
}

// close lets go of the device; the kernel then fails what is still asked of it.
func (d *descriptor) close() {
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
	if d.file != nil {
		d.file.Close()
	}
}

// closeAfter closes the device when nobody is inside read(2) any more: those who still are
// hold it open anyway, and refuse what they come back with. None is left when left is
// closed; leaving is whether none of them can go there once more.
func (d *descriptor) closeAfter(leaving bool, left <-chan struct{}) {
	if leaving && d.inside.Load() == 0 {
		d.close()
		return
	}
	go func() {
		<-left
		d.close()
	}()
}

// mountPoll is how often a device that is not mounted yet is asked whether it
// is, in milliseconds: nothing tells of it.
const mountPoll = 2

// awaitMount waits until the device is mounted. Until then a read is EPERM;
// from then on one with no room for a request is EINVAL.
func (d *descriptor) awaitMount() error {
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
func (d *descriptor) refuse(errno unix.Errno) {
	_ = unix.SetNonblock(d.fd, true) // as newDescriptor did; somebody may have changed it
	buf := make([]byte, requestSize)
	for {
		d.inside.Add(1)
		n, err := unix.Read(d.fd, buf)
		d.inside.Add(-1)
		if err == unix.EINTR || err == unix.ENOENT {
			continue
		}
		if err != nil || n < headerSize {
			return
		}
		d.refuseOne(buf[:n], errno)
	}
}

// refuseOne answers a request with an error, if it is one that is answered.
func (d *descriptor) refuseOne(in []byte, errno unix.Errno) {
	switch opcode(in) {
	case 0, OpForget, OpBatchForget, OpInterrupt:
		return
	}
	var out [16]byte
	failure(out[:], (*fuse.InHeader)(unsafe.Pointer(unsafe.SliceData(in))).Unique, errno)
	_ = d.write(out[:])
}

const (
	// interruptBit is in the number of an INTERRUPT, beside that of the request which it is about, and
	// numberStep between two requests, see FUSE_INT_REQ_BIT and FUSE_REQ_ID_STEP of the kernel's
	// fs/fuse/fuse_i.h, since Linux 4.20.
	interruptBit, numberStep = 1, 2
	// numbersBack is how many requests before one of them may be unanswered that were read with it,
	// and numbersOn how many may have been read since: to try each takes half a microsecond.
	numbersBack, numbersOn = 1 << 18, 1 << 20
)

// refuseAround answers with that error what has been read, and not answered, of the requests with
// numbers around that one. For what was answered, or read from another descriptor, the kernel says
// ENOENT.
func (d *descriptor) refuseAround(unique uint64, errno unix.Errno) {
	unique &^= interruptBit
	var out [16]byte
	at := max(unique, numbersBack*numberStep) - numbersBack*numberStep
	for range numbersBack + numbersOn {
		if at += numberStep; d.stopped.Load() {
			return
		}
		failure(out[:], at, errno)
		_ = d.write(out[:])
	}
}
