package proctable

import (
	"errors"
	"fmt"
	"syscall"
)

// lacking says what is missing of a node's processes: that many, for that reason, as
// the leaf has it (snapshot.Facts.Lacks). It is nil if nothing is.
func lacking(n int, why syscall.Errno) error {
	return Lacking(fmt.Sprintf("%d processes", n), n, why)
}

// Lacking is lacking for a requester who is told only so much of how many: how many others
// have is not for everybody.
func Lacking(many string, n int, why syscall.Errno) error {
	switch {
	case n == 0 && why == 0:
		return nil
	case n == 0:
		return errors.New("processes are hidden from the leaf by its procfs (hidepid=): give it CAP_SYS_PTRACE, or gid= of that mount")
	case why == 0:
		return fmt.Errorf("%s could not be read", many)
	case why == syscall.EFBIG:
		return fmt.Errorf("%s are missing: there is no room for more in a snapshot", many)
	case why == syscall.ETIMEDOUT:
		return fmt.Errorf("%s could not be read in time", many)
	}
	return fmt.Errorf("%s could not be read: %w%s", many, why, remedy(why))
}

// remedy is what helps against a shortage that a leaf has reported, as the end of a
// message; "" if there is nothing to say.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.EMFILE):
		return ": the leaf may open too few files; raise its limit (LimitNOFILE= in the unit, ulimit -n)"
	case errors.Is(err, syscall.ENFILE):
		return ": the node has as many files open as it may; raise its sysctl fs.file-max"
	case errors.Is(err, syscall.ENOMEM):
		return ": the node is short of memory"
	}
	return ""
}
