package nsexec

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxStacked bounds how many mounts are looked for on top of each other.
const maxStacked = 64

// inOwnNamespace tells whether this process' mount namespace is another than
// its parent's.
func inOwnNamespace(aside string) error {
	native, err := Native(aside)
	if err != nil {
		return err
	}
	mine, err := os.Readlink(native + "/self/ns/mnt")
	if err != nil {
		return err
	}
	parents, err := os.Readlink(fmt.Sprintf("%s/%d/ns/mnt", native, os.Getppid()))
	if err == nil && mine == parents {
		err = fmt.Errorf("%s must not be started by hand: it would change the mounts of the machine", stageName)
	}
	return err
}

// layOut makes this process' mount namespace, which must be its own, ready for
// the tree: mounts no longer leave it, the native procfs is at /proc, and a
// copy of it with all that is mounted below is at aside, which exists. native is
// where the native procfs is.
func layOut(aside, native string, unprivileged bool) error {
	// In a user namespace of its own it can be in no other mount namespace, and
	// may not look at its parent's.
	if !unprivileged {
		if err := inOwnNamespace(aside); err != nil {
			return err
		}
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("keep mounts in the namespace: %w", err)
	}
	if err := bareProc(native); err != nil {
		return err
	}
	return bind(procfs, aside)
}

// bind mounts a copy of what is mounted at one place, and below, at another.
func bind(from, to string) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, from, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("copy the mount at %s: %w", from, err)
	}
	defer unix.Close(tree)
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, to, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("keep %s at %s: %w", from, to, err)
	}
	return nil
}

// bareProc takes the tree of an outer Run off this namespace, or covers it with
// the native procfs where the kernel does not let it: what comes from the
// namespace of a user with more rights is locked, see mount_namespaces(7).
func bareProc(native string) error {
	for range maxStacked {
		if isProcfs(procfs) {
			return nil
		}
		if !isProcfs(native) {
			break // not our doing
		}
		err := unix.Unmount(procfs, unix.MNT_DETACH)
		if err == unix.EINVAL {
			return bind(native, procfs)
		}
		if err != nil {
			return fmt.Errorf("take the outer tree off %s: %w", procfs, err)
		}
	}
	return fmt.Errorf("%s is not a procfs: mount one (mount -t proc proc %s)", procfs, procfs)
}

// mountTree mounts the tree on /proc and returns the mount's number, as in
// proc_pid_mountinfo(5). proc is the native procfs.
func mountTree(m Mount, proc *os.File) (mount string, err error) {
	if err := unix.Mount(m.Source, procfs, m.FSType, m.Flags, m.Data); err != nil {
		return "", fmt.Errorf("mount %s on %s (%s): %w", m.FSType, procfs, m.Data, err)
	}
	if mount, err = mountAt(proc, procfs); err == nil && mount == "" {
		err = fmt.Errorf("self/mountinfo does not show the mount of %s on %s", m.FSType, procfs)
	}
	return mount, err
}
