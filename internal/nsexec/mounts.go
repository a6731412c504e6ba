package nsexec

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/nsexec/mountns"
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
	if err := mountns.KeepIn(); err != nil {
		return err
	}
	if err := bareProc(native); err != nil {
		return err
	}
	return mountns.Bind(procfs, aside)
}

// bareProc takes the tree of an outer Run off this namespace, or covers it with
// the native procfs where the kernel does not let it: what comes from the
// namespace of a user with more rights is locked, see mount_namespaces(7).
func bareProc(native string) error {
	for range maxStacked {
		if mountns.IsProcfs(procfs) {
			return nil
		}
		if !mountns.IsProcfs(native) {
			break // not our doing
		}
		err := unix.Unmount(procfs, unix.MNT_DETACH)
		if err == unix.EINVAL {
			return mountns.Bind(native, procfs)
		}
		if err != nil {
			return fmt.Errorf("take the outer tree off %s: %w", procfs, err)
		}
	}
	return fmt.Errorf("%s is not a procfs: mount one (mount -t proc proc %s)", procfs, procfs)
}
