package device

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/olderkernel"
)

// moveMountBeneath is MOVE_MOUNT_BENEATH of linux/mount.h, since Linux 6.5.
const moveMountBeneath = 0x200

// Replace is Mount in the place of a dead mount at dir, which is taken away. Where the kernel can,
// and for root, there is no moment at which dir is what lies below both.
func Replace(dir string, o Options) (dev *os.File, unmount func() error, err error) {
	if os.Geteuid() != 0 {
		if err := unmountByFusermount(dir); err != nil {
			return nil, nil, err
		}
		return Mount(dir, o)
	}
	if dev, err = Open(); err != nil {
		return nil, nil, err
	}
	beneath := mountBeneath(dir, int(dev.Fd()), o)
	err = unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) // the one on top
	if err != nil {
		err = &os.PathError{Op: "unmount", Path: dir, Err: err}
	} else if beneath != nil {
		err = MountAt(dir, int(dev.Fd()), o)
	}
	if err != nil {
		dev.Close()
		return nil, nil, err
	}
	return dev, ifTop(dir, unmountDirectly), nil
}

// mountBeneath mounts a device below what is mounted at dir, see move_mount(2).
func mountBeneath(dir string, fd int, o Options) error {
	if olderkernel.Lacks(olderkernel.Beneath) {
		return os.NewSyscallError("move_mount", unix.EINVAL)
	}
	fs, err := unix.Fsopen("fuse", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("fsopen", err)
	}
	defer unix.Close(fs)
	for _, option := range [][2]string{
		{"source", o.Source}, {"subtype", "aggrfs"}, {"fd", fmt.Sprint(fd)}, {"rootmode", fmt.Sprintf("%o", unix.S_IFDIR)},
		{"user_id", fmt.Sprint(o.UID)}, {"group_id", fmt.Sprint(o.GID)},
	} {
		err = errors.Join(err, unix.FsconfigSetString(fs, option[0], option[1]))
	}
	if o.Shared {
		err = errors.Join(err, unix.FsconfigSetFlag(fs, "allow_other"))
	}
	err = errors.Join(err, unix.FsconfigSetFlag(fs, "ro"))
	if err == nil {
		err = unix.FsconfigCreate(fs)
	}
	if err != nil {
		return os.NewSyscallError("fsconfig", err)
	}
	const attr = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attr)
	if err != nil {
		return os.NewSyscallError("fsmount", err)
	}
	defer unix.Close(mount)
	return os.NewSyscallError("move_mount", unix.MoveMount(mount, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH|moveMountBeneath))
}
