package nsexec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// asideTries bounds how often a directory may be removed between being made
// and being locked.
const asideTries = 100

// lockAside makes the directory if need be and returns it with a shared lock,
// which lasts until every copy of the descriptor is closed.
func lockAside(dir string) (*os.File, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("the place for the native procfs, %q, is not an absolute path", dir)
	}
	for range asideTries {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make a place for the native procfs: %w", err)
		}
		f, err := os.Open(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("lock the place for the native procfs: %w", err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
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

// removeAside removes the directory unless somebody else has it locked. lock
// is what lockAside returned; nothing may be mounted on dir in this namespace.
func removeAside(lock *os.File, dir string) error {
	err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil // the last one will
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	if !isAt(lock, dir) {
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
	there, err := os.Stat(path)
	return err == nil && os.SameFile(open, there)
}
