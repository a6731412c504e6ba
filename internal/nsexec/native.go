package nsexec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/nsexec/mountns"
)

const procfs = mountns.Procfs

// Native returns the path of the native procfs as this process sees it: /proc,
// or aside ("" is Aside) for a process that runs under Run.
func Native(aside string) (string, error) {
	or(&aside, Aside())
	places := []string{procfs, procfs + "/" + Inside, aside, DefaultAside}
	// A tree over /proc says itself where an outer Run has put it.
	if self, err := os.Readlink(procfs + "/self"); err == nil && filepath.IsAbs(self) {
		places = append(places, filepath.Dir(self))
	}
	for _, path := range places {
		if mountns.IsProcfs(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("no native procfs at %s or %s: mount one (mount -t proc proc %s)", procfs, aside, procfs)
}

// Aside is the directory where Run keeps the native procfs for this process
// unless the Spec says otherwise.
func Aside() string {
	if os.Geteuid() == 0 || helper() != "" {
		return DefaultAside
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		if st, err := os.Stat(dir); err == nil && checkAside(dir, st) == nil {
			return filepath.Join(dir, filepath.Base(DefaultAside))
		}
	}
	return fmt.Sprintf("/tmp/%s-%d", filepath.Base(DefaultAside), os.Geteuid())
}

// asideTries bounds how often a directory may be removed between being made and
// being locked, or be locked by who removes it, with asideWait in between.
const (
	asideTries = 100
	asideWait  = 10 * time.Millisecond
)

// asideMode is the mode of a directory that lockAside makes, and what tells it
// from one that the machine's administrator has made to stay. Within the
// namespace it is that of the procfs that counts.
const asideMode = 0o700

// lockAside makes the directory if need be and returns it with a shared lock,
// which lasts until every copy of the descriptor is closed.
func lockAside(dir string) (*os.File, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("the place for the native procfs, %q, is not an absolute path", dir)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("make a place for the native procfs: %w", err)
	}
	for range asideTries {
		if err := os.Mkdir(dir, asideMode); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("make a place for the native procfs: %w", err)
		}
		f, err := openAside(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		// Not waiting: one that stays, as tmpfiles.d makes it, can be opened and
		// locked by everybody, and is not removed anyway.
		err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			if st, err := f.Stat(); err == nil && st.Mode().Perm() != asideMode {
				return f, nil
			}
			f.Close()
			time.Sleep(asideWait) // it is being removed
			continue
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
		if isAt(f, dir) {
			return f, nil
		}
		f.Close() // somebody removed it first
	}
	return nil, fmt.Errorf("%s is removed again and again; choose another place for the native procfs", dir)
}

// openAside opens the directory, which must be one that nobody else can change
// anything in, whoever made it: /tmp is everybody's.
func openAside(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("make a place for the native procfs: %w", err)
	}
	st, err := f.Stat()
	if err == nil && !mountns.IsProcfs(dir) { // that of an outer Run
		err = checkAside(dir, st)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// checkAside reports whether a directory is this user's alone.
func checkAside(dir string, st fs.FileInfo) error {
	sys, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !st.IsDir():
		return fmt.Errorf("%s is no directory: remove it, or set XDG_RUNTIME_DIR to a directory of your own", dir)
	case sys.Uid != uint32(os.Geteuid()):
		return fmt.Errorf("%s belongs to somebody else and the native procfs is not kept there: set XDG_RUNTIME_DIR to a directory of your own", dir)
	case st.Mode()&0o022 != 0:
		return fmt.Errorf("%s can be written by others (mode %#o) and the native procfs is not kept there: chmod go-w %s", dir, st.Mode().Perm(), dir)
	}
	return nil
}

// removeAside removes the directory unless somebody else has it locked, or
// lockAside did not make it. lock is what lockAside returned; nothing may be
// mounted on dir in this namespace.
func removeAside(lock *os.File, dir string) error {
	err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil // the last one will
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	if st, err := lock.Stat(); err != nil || st.Mode().Perm() != asideMode || !isAt(lock, dir) {
		return nil
	}
	// EBUSY: the directory is a mount point of an outer Run.
	if err := unix.Rmdir(dir); err != nil && err != unix.EBUSY && err != unix.ENOENT {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}

// isAt reports whether the path still leads to the open directory.
func isAt(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(open, there)
}

// maxStacked bounds how many mounts are looked for on top of each other.
const maxStacked = 64

// inOwnNamespace reports whether this process' mount namespace is another than
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
