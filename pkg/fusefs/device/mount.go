package device

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// mountFlags are those of a procfs, and read-only.
const mountFlags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// Options say how a device is mounted.
type Options struct {
	UID, GID uint32 // of whom the mount is for
	Shared   bool   // for all users
	Source   string // what mount(8) and df(1) show
}

// MountOptions returns what mount(2) has to be told to mount the device that is
// open as fd in the process that makes the call; see the kernel's
// Documentation/filesystems/fuse.rst, "Mount options".
func MountOptions(fd int, o Options) (fstype string, flags uintptr, data string) {
	options := []string{
		fmt.Sprintf("fd=%d", fd),
		fmt.Sprintf("rootmode=%o", unix.S_IFDIR),
		fmt.Sprintf("user_id=%d", o.UID),
		fmt.Sprintf("group_id=%d", o.GID),
	}
	if o.Shared {
		options = append(options, "allow_other")
	}
	return "fuse.aggrfs", mountFlags, strings.Join(options, ",")
}

// MountAt makes the mount(2) call alone: dir becomes the mount of the device
// open as fd in this process. The process that serves the device can be
// another one, and must keep fd open until then; this one closes its own copy
// afterwards, or readers hang when the server ends.
func MountAt(dir string, fd int, o Options) error {
	fstype, flags, data := MountOptions(fd, o)
	if err := unix.Mount(o.Source, dir, fstype, flags, data); err != nil {
		return &os.PathError{Op: "mount", Path: dir, Err: err}
	}
	return nil
}

// Mount opens a device and mounts it at dir, and returns what takes the mount away again, from
// under its users where there are any. Who is not root mounts by fusermount3(1).
func Mount(dir string, o Options) (dev *os.File, unmount func() error, err error) {
	mount, away := directly, unmountDirectly
	if os.Geteuid() != 0 {
		mount, away = byFusermount, unmountByFusermount
	}
	if dev, err = mount(dir, o); err != nil {
		return nil, nil, err
	}
	return dev, ifTop(dir, away), nil
}

// ifTop is away for the mount that is on top at dir now, for as long as it is: another one that
// was below it, or was mounted over it, stays.
func ifTop(dir string, away func(string) error) func() error {
	id, known := mountID(dir)
	return func() error {
		if now, ok := mountID(dir); known && ok && now != id {
			return nil
		}
		return away(dir)
	}
}

// statxMountID is STATX_MNT_ID_UNIQUE of linux/stat.h, since Linux 6.8.
const statxMountID = 0x4000

// mountID is the number of the mount that is on top at dir. Its server is not asked.
func mountID(dir string) (id uint64, ok bool) {
	for _, mask := range []int{statxMountID, unix.STATX_MNT_ID} {
		var st unix.Statx_t
		err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_STATX_DONT_SYNC|unix.AT_SYMLINK_NOFOLLOW, mask, &st)
		if err == nil && int(st.Mask)&mask != 0 {
			return st.Mnt_id, true
		}
	}
	return 0, false
}

// directly opens the device and mounts it at dir.
func directly(dir string, o Options) (*os.File, error) {
	dev, err := Open()
	if err != nil {
		return nil, err
	}
	if err := MountAt(dir, int(dev.Fd()), o); err != nil {
		dev.Close()
		return nil, err
	}
	return dev, nil
}

// unmountDirectly takes the mount at dir away, from under its users where there are any.
func unmountDirectly(dir string) error {
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
