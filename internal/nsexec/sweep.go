package nsexec

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// takeAway unmounts the tree, lazily, from this mount namespace: the mount of
// that number on /proc, if it still is the one on top there. proc is the native
// procfs.
//
// Only this namespace, and only that mount: numbers of devices and of mounts
// are used again as soon as they are free, so whoever unmounts by number in
// other namespaces will one day take a stranger's /proc away. A process of the
// command's that made a mount namespace of its own keeps the tree there, and
// after the server's end has a /proc that answers ENOTCONN.
func takeAway(proc *os.File, mount string) error {
	top, err := mountAt(proc, procfs)
	if err != nil || top != mount {
		return err
	}
	if err := unix.Unmount(procfs, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount %s: %w", procfs, err)
	}
	return nil
}
