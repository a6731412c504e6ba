// Package fdlimit bounds what a leaf has open at once, by the limit that the process has
// (RLIMIT_NOFILE, which the Go runtime raises to the hard limit at the start): a quarter for
// operations, another for the directories that are kept, and the rest for the connections. At a
// small limit operations wait for each other, and nothing is kept.
package fdlimit

import (
	"context"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"
)

// Descriptors are those of a leaf. Each token stands for an operation that is being made, or a worker
// of a sweep, those left behind included: they have their descriptors still. Its methods may be called
// concurrently.
type Descriptors struct {
	tokens *semaphore.Weighted
	Most   int           // tokens
	wait   time.Duration // for a token
	Keep   int           // directories that may stay open
}

const (
	// PerOperation is the most that an operation has open at a time: a process
	// directory, a directory or file in it, and what tells if that may be seen.
	PerOperation = 3
	// FewestOperations are possible at once at any limit, so that one that is left
	// behind is not the end.
	FewestOperations = 2
	mostOperations   = 1 << 14
	// MostKept bounds the directories that are kept, beside the descriptors that there may be.
	MostKept = 16384
	// Least is the limit below which a program has none to spare: the
	// standard streams, what the Go runtime has open, the procfs and a listener.
	Least = 12
	// KeepFrom is the limit from which on directories are kept.
	KeepFrom = 256
)

// New divides a limit. An operation waits no longer than wait for those
// before it.
func New(limit uint64, wait time.Duration) *Descriptors {
	share := int(min(limit/4, PerOperation*mostOperations))
	d := &Descriptors{Most: max(share/PerOperation, FewestOperations), wait: wait}
	d.tokens = semaphore.NewWeighted(int64(d.Most))
	if limit >= KeepFrom {
		d.Keep = min(share, MostKept)
	}
	return d
}

// Total is how many file descriptors a leaf has open, at most, in a process that
// may have limit: the directories that it keeps and those of its operations.
func Total(limit uint64) int {
	d := New(limit, 0)
	return d.Keep + d.Most*PerOperation
}

// Limit is how many descriptors the process may have.
func Limit() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 // the kernel's own (INR_OPEN_CUR)
	}
	return limit.Cur
}

// MayStick is how many operations may be left behind, of most.
func (d *Descriptors) MayStick(most int) int { return min(most, d.Most/2) }

// Acquire waits for the descriptors of an operation; Release gives them back.
func (d *Descriptors) Acquire(ctx context.Context) error {
	if d.tokens.TryAcquire(1) {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, d.wait)
	defer cancel()
	err := d.tokens.Acquire(waiting, 1)
	if err != nil && ctx.Err() == nil {
		return syscall.EMFILE
	}
	return err
}

// Release gives the descriptors of an operation back.
func (d *Descriptors) Release() { d.tokens.Release(1) }
