// Package atomicfile writes files that have their old content or all of the new one, for
// whoever opens them and after a crash.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Write puts data into the file at path, in place of what has that name, with those
// permissions.
func Write(path string, data []byte, perm fs.FileMode) error {
	f, err := Create(path, perm)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Replace()
}

// A File is being written. It has a name of its own in the directory of its path until
// [File.Replace] or [File.Link] gives it that one, and stays open then: [File.Discard]
// closes it in any case.
type File struct {
	*os.File
	path string
	perm fs.FileMode
}

// Create makes an empty file that is to have that path and those permissions; until it
// does, only this user can open it.
func Create(path string, perm fs.FileMode) (*File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return nil, err
	}
	return &File{f, path, perm}, nil
}

// Sync puts the content and the permissions on disk.
func (f *File) Sync() error {
	if err := f.Chmod(f.perm); err != nil {
		return err
	}
	return f.File.Sync()
}

// Replace gives the file its path, in place of what has that name.
func (f *File) Replace() error { return f.place(os.Rename) }

// Link gives the file its path, unless something has that name: [fs.ErrExist].
func (f *File) Link() error { return f.place(os.Link) }

func (f *File) place(give func(from, to string) error) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := give(f.Name(), f.path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Discard closes the file and removes the name that it had while it was written.
func (f *File) Discard() {
	f.Close()
	os.Remove(f.Name()) // which Replace has taken away
}
