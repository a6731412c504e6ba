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

// checkAside tells whether a directory is this user's alone.
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

// isAt tells whether the path still leads to the open directory.
func isAt(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(open, there)
}
