// Package trusted reads files that decide about rights: what anybody else could
// have written is not believed.
//
// A file is trusted if it is a regular file and no link, if only its owner and
// group can write it, and if its owner is root or the user that this process runs
// as. Of the directories above nothing is asked: who can write there could do
// worse.
package trusted

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ReadFile reads a trusted file of at most max bytes. What is wrong with a file
// that is not trusted is an [*Error]. It does not wait for what is no regular
// file.
func ReadFile(path string, max int) ([]byte, error) {
	data, err := read(path, unix.O_NOFOLLOW, max, func(fd int) error { return check(path, fd, unix.S_IFREG) })
	if errors.Is(err, unix.ELOOP) {
		err = &Error{path, "is a link; put the file itself there"}
	}
	return data, err
}

// ReadRegular reads a regular file, which a link may lead to, of at most max bytes and
// without asking whether it is trusted: that is for check to say, nil for nothing. It
// does not wait for what is no regular file. Of a file that is too long the first max
// bytes are returned with the error.
func ReadRegular(path string, max int, check func(unix.Stat_t) error) ([]byte, error) {
	return read(path, 0, max, func(fd int) error {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return &fs.PathError{Op: "stat", Path: path, Err: err}
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG {
			return &Error{path, "is no regular file"}
		}
		if check == nil {
			return nil
		}
		return check(st)
	})
}

func read(path string, flags, max int, check func(fd int) error) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if err := check(fd); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(max)+1))
	if err == nil && len(data) > max {
		data, err = data[:max], &Error{path, fmt.Sprintf("is too long: no more than %d bytes are read", max)}
	}
	return data, err
}

// CheckDir refuses a directory that others than trusted users can put files into.
func CheckDir(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return &Error{path, "is no directory, or a link to one; put the directory itself there"}
	}
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	return check(path, fd, unix.S_IFDIR)
}

// CheckProgram refuses a program, which a link may lead to, that others than trusted
// users can have written.
func CheckProgram(path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	return check(path, fd, unix.S_IFREG)
}

func check(path string, fd int, kind uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != kind:
		return &Error{path, "is no regular file"}
	case st.Mode&0o002 != 0 && st.Mode&unix.S_ISVTX == 0:
		return &Error{path, fmt.Sprintf("can be written by everybody; try: chmod o-w %s", path)}
	case st.Mode&0o002 != 0:
		return &Error{path, "is a directory that everybody can put files into; use one of root's"}
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return &Error{path, fmt.Sprintf("belongs to uid %d, who is neither root nor this program's user; try: chown root %s", st.Uid, path)}
	}
	return nil
}

// An Error says why a file is not trusted.
type Error struct {
	Path   string
	Reason string
}

func (e *Error) Error() string { return e.Path + " " + e.Reason }
