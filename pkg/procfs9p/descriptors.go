package procfs9p

import (
	"context"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"
)

// descriptors bounds what the leaf has open at once, by the limit that the process
// has (RLIMIT_NOFILE, which the Go runtime raises to the hard limit at the start): a
// quarter for operations, another for the directories that are kept (heldDirs), and
// the rest for the connections. At a small limit operations wait for each other, and
// nothing is kept.
//
// Each token stands for an operation that is being made, or a worker of a sweep,
// those left behind included: they have their descriptors still.
type descriptors struct {
	tokens *semaphore.Weighted
	most   int           // tokens
	wait   time.Duration // for a token
	keep   int           // directories that may stay open
}

const (
	// perOperation is the most that an operation has open at a time: a process
	// directory, a directory or file in it, and what tells if that may be seen.
	perOperation = 3
	// fewest operations are possible at once at any limit, so that one that is left
	// behind is not the end.
	fewestOperations = 2
	mostOperations   = 1 << 14
	// leastDescriptors is the limit below which a program has none to spare: the
	// standard streams, what the Go runtime has open, the procfs and a listener.
	leastDescriptors = 12
	// keepFrom is the limit from which on directories are kept.
	keepFrom = 256
)

// newDescriptors divides a limit. An operation waits no longer than wait for those
// before it.
func newDescriptors(limit uint64, wait time.Duration) *descriptors {
	share := int(min(limit/4, perOperation*mostOperations))
	d := &descriptors{most: max(share/perOperation, fewestOperations), wait: wait}
	d.tokens = semaphore.NewWeighted(int64(d.most))
	if limit >= keepFrom {
		d.keep = min(share, mostHeld)
	}
	return d
}

// Descriptors is how many file descriptors a leaf has open, at most, in a process that
// may have limit: the directories that it keeps and those of its operations.
func Descriptors(limit uint64) int {
	d := newDescriptors(limit, 0)
	return d.keep + d.most*perOperation
}

// descriptorLimit is how many descriptors the process may have.
func descriptorLimit() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 // the kernel's own (INR_OPEN_CUR)
	}
	return limit.Cur
}

// mayStick is how many operations may be left behind, of most.
func (d *descriptors) mayStick(most int) int { return min(most, d.most/2) }

// acquire waits for the descriptors of an operation; release gives them back.
func (d *descriptors) acquire(ctx context.Context) error {
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

func (d *descriptors) release() { d.tokens.Release(1) }
