package procfs9p

import (
	"errors"
	"syscall"
)

// isGone reports whether err says that what was asked for does not exist, which
// nothing but ENOENT and ESRCH says: a process that ends while it is looked at
// gives either. Any other error leaves it open whether there is something.
func isGone(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESRCH)
}

// isShortage reports whether err is of the leaf, or of its node, and not of what
// was asked for: there are too few descriptors or there is too little memory. What
// lacks something for such a reason is not given out.
func isShortage(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}
