package fusefs

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// devicePath is where the FUSE device is, see fuse(4).
const devicePath = "/dev/fuse"

// OpenDevice opens the FUSE device: one mount, once it is mounted.
func OpenDevice() (*os.File, error) {
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

// mountFlags are those of a procfs, and read-only.
const mountFlags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// MountOptions returns what mount(2) has to be told to mount the device that is
// open as fd in the process that makes the call; see the kernel's
// Documentation/filesystems/fuse.rst, "Mount options".
func MountOptions(fd int, cfg Config) (fstype string, flags uintptr, data string) {
	options := []string{
		fmt.Sprintf("fd=%d", fd),
		fmt.Sprintf("rootmode=%o", unix.S_IFDIR),
		fmt.Sprintf("user_id=%d", cfg.Owner.UID),
		fmt.Sprintf("group_id=%d", cfg.Owner.GID),
	}
	if cfg.Shared {
		options = append(options, "allow_other")
	}
	return "fuse.aggrfs", mountFlags, strings.Join(options, ",")
}

// MountAt makes the mount(2) call alone: dir becomes the mount of the device
// open as fd in this process. The process that serves the device can be
// another one, and must keep fd open until then; this one closes its own copy
// afterwards, or readers hang when the server ends.
func MountAt(dir string, fd int, cfg Config) error {
	cfg = cfg.withDefaults()
	fstype, flags, data := MountOptions(fd, cfg)
	if err := unix.Mount(cfg.FSName, dir, fstype, flags, data); err != nil {
		return &os.PathError{Op: "mount", Path: dir, Err: err}
	}
	return nil
}

// directly opens the device and mounts it at dir.
func directly(dir string, cfg Config) (*os.File, error) {
	dev, err := OpenDevice()
	if err != nil {
		return nil, err
	}
	if err := MountAt(dir, int(dev.Fd()), cfg); err != nil {
		dev.Close()
		return nil, err
	}
	return dev, nil
}

// unmount takes the mount at dir away, from under its users where there are any.
func unmount(dir string) error {
	err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EBUSY) {
		err = unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
	switch {
	case err == nil, errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOENT):
		return nil // somebody else has taken it away
	}
	return &os.PathError{Op: "unmount", Path: dir, Err: err}
}
