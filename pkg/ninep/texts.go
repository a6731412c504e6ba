package ninep

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// An errorName is an error and its text.
type errorName struct {
	errno syscall.Errno
	text  string
}

// The one table between the errors of the tree and the texts that 9P2000 has for
// them. Where Plan 9 has a text of its own that Linux's client knows too (its
// table is in net/9p/error.c), that is it; any other error is the text of
// strerror(3), which both know.
var texts = []errorName{
	{syscall.ENOENT, "file does not exist"},
	{syscall.ESRCH, "file does not exist"}, // a process has ended, and its files with it
	{syscall.EACCES, "permission denied"},
	{syscall.EROFS, "read only file system"},
	{syscall.ENOTDIR, "not a directory"},
	{syscall.EBADF, "fid unknown or out of range"},
	{syscall.ESPIPE, "bad offset in directory read"},
	{syscall.EIO, "i/o error"},
}

// foreign is what only other servers say.
var foreign = []errorName{
	{syscall.EACCES, "not owner"},
	{syscall.EACCES, "authentication failed"},
	{syscall.EBADF, "unknown fid"},
	{syscall.EBADF, "fid already in use"},
	{syscall.EBADF, "duplicate fid"},
	{syscall.EBADF, "bad use of fid"},
	{syscall.EBUSY, "file already open for I/O"},
	{syscall.EINVAL, "bad arg in system call"},
	{syscall.EINVAL, "bad offset"},
	{syscall.EINTR, "interrupted"},
	{syscall.EISDIR, "file is a directory"},
	{syscall.ENOENT, "file not found"},
	{syscall.ENOENT, "directory entry not found"},
	{syscall.ENOENT, "authentication not required"},
	{syscall.ENOENT, "illegal path element"},
	{syscall.ENOTDIR, "walk in non-directory"},
	{syscall.EROFS, "create prohibited"},
	{syscall.EROFS, "file is read only"},
	{syscall.EROFS, "remove prohibited"},
	{syscall.EROFS, "write prohibited"},
	{syscall.EROFS, "wstat prohibited"},
	{syscall.ESRCH, "process exited"},
}

// A protocolError is what is wrong with a request rather than with the tree. Its
// text is more than 9P2000.L can say.
type protocolError struct {
	errno syscall.Errno
	text  string
}

var (
	errFidInUse    = &protocolError{syscall.EBADF, "fid already in use"}
	errFidNotOpen  = &protocolError{syscall.EBADF, "bad use of fid"}
	errAlreadyOpen = &protocolError{syscall.EBUSY, "file already open for I/O"}
	// diod's clients take ENOENT for "not needed", and nothing else.
	errNoAuth = &protocolError{syscall.ENOENT, "authentication not required"}
)

func (e *protocolError) Error() string { return e.text }

// Unwrap makes it its errno.
func (e *protocolError) Unwrap() error { return e.errno }

// errorText is what a client of 9P2000 is told of err.
func errorText(err error) string {
	if p := (*protocolError)(nil); errors.As(err, &p) {
		return p.text
	}
	errno := vfs.Errno(err)
	for _, t := range texts {
		if t.errno == errno {
			return t.text
		}
	}
	text := errno.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

// errnoOf is the reverse of errorText: EIO for a text that nobody knows.
func errnoOf(text string) syscall.Errno {
	if errno, ok := errnos()[strings.ToLower(text)]; ok {
		return errno
	}
	return syscall.EIO
}

var errnos = sync.OnceValue(func() map[string]syscall.Errno {
	const last = 133 // EHWPOISON
	known := make(map[string]syscall.Errno)
	for errno := syscall.Errno(last); errno > 0; errno-- {
		known[errno.Error()] = errno
	}
	for _, t := range slices.Concat(texts, foreign) {
		if _, twice := known[strings.ToLower(t.text)]; !twice {
			known[strings.ToLower(t.text)] = t.errno
		}
	}
	return known
})
