package vfs

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
	"time"
)

// Missing is ENOENT that may be cached: the name does not exist and will not for
// Keep, which is its TTL.
type Missing struct{ Keep time.Duration }

func (Missing) Error() string { return syscall.ENOENT.Error() }

// Unwrap makes a Missing an ENOENT to errors.Is.
func (Missing) Unwrap() error { return syscall.ENOENT }

// Errno is the error number that err stands for: that of the first
// syscall.Errno it wraps; EINTR and ETIMEDOUT for a context that was cancelled
// or ran out; what fits for the errors of io/fs; EIO for everything else. It
// is 0 for nil.
func Errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	var e syscall.Errno
	if errors.As(err, &e) && e != 0 {
		return e
	}
	switch {
	case errors.Is(err, context.Canceled):
		return syscall.EINTR
	case errors.Is(err, context.DeadlineExceeded):
		return syscall.ETIMEDOUT
	case errors.Is(err, fs.ErrNotExist):
		return syscall.ENOENT
	case errors.Is(err, fs.ErrPermission):
		return syscall.EACCES
	case errors.Is(err, fs.ErrInvalid):
		return syscall.EINVAL
	}
	return syscall.EIO
}
