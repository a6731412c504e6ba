package device

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/olderkernel"
)

// devicePath is where the FUSE device is, see fuse(4).
const devicePath = "/dev/fuse"

// Open opens the FUSE device: one mount, once it is mounted.
func Open() (*os.File, error) {
	// os.OpenFile would set O_NONBLOCK and hand the device to the runtime's
	// poller, which fails as long as it is not mounted.
	fd, err := unix.Open(devicePath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return nil, fmt.Errorf("open %s: %w: this kernel has no FUSE, or it is not loaded (try: modprobe fuse)", devicePath, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return nil, fmt.Errorf("open %s: %w: only who may read and write it can mount (try as root, or chmod 0666 %s)", devicePath, err, devicePath)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", devicePath, err)
	}
	return os.NewFile(uintptr(fd), devicePath), nil
}

// cloneRequest is FUSE_DEV_IOC_CLONE, see linux/fuse.h.
const cloneRequest = 0x8004e500

// OpenClone opens the device once more, on the mount that dev is of: a queue of its own of
// requests that are being answered, and an O_NONBLOCK of its own. When the last descriptor of
// a clone closes, what was read from it and not answered fails with ECONNABORTED, and the
// mount lives on. Both must have been opened in the same user namespace: EINVAL.
func OpenClone(dev *os.File) (*os.File, error) {
	if olderkernel.Lacks(olderkernel.Clone) {
		return nil, os.NewSyscallError("clone the FUSE device", unix.EINVAL)
	}
	clone, err := Open()
	if err != nil {
		return nil, err
	}
	conn, err := dev.SyscallConn() // not Fd, which would change how it blocks
	if err == nil {
		inner := conn.Control(func(fd uintptr) {
			old := uint32(fd)
			if _, _, errno := unix.Syscall(unix.SYS_IOCTL, clone.Fd(), cloneRequest, uintptr(unsafe.Pointer(&old))); errno != 0 {
				err = os.NewSyscallError("clone the FUSE device", errno)
			}
		})
		err = errors.Join(err, inner)
	}
	if err != nil {
		clone.Close()
		return nil, err
	}
	return clone, nil
}
