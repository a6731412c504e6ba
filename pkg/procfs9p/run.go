package procfs9p

import (
	"context"

	"github.com/aggrfs/aggrfs/pkg/procfs9p/lend"
)

// run makes system calls on the procfs for the session: with its rights, and
// where they may block so that they can be left behind. key names the process
// that they may wait for. An operation of the tree is one run, so that rights
// are lent once for it, and its descriptors are counted once: a run within a run
// could wait for itself.
func run[T any](ctx context.Context, s *session, key uint64, mayBlock bool, f func() (T, error)) (T, error) {
	l := s.leaf
	if mayBlock {
		if err := l.guard.refused(key); err != nil {
			var none T
			return none, err
		}
	}
	lent := f
	if !s.who.IsRoot() {
		asked := f
		lent = func() (T, error) { return lend.As(l.own, &s.who, asked) }
	}
	f = func() (value T, err error) {
		if err := l.descriptors.Acquire(ctx); err != nil {
			return value, err
		}
		defer l.descriptors.Release()
		if value, err = lent(); isShortage(err) && l.dirs.yield() {
			value, err = lent()
		}
		return value, err
	}
	switch {
	case l.own.OnSpoilt():
		return apart(ctx, l.guard, key, f)
	case mayBlock:
		if v, ok := ctx.(leaver); ok {
			return inView(v, l.guard, key, f)
		}
		return apart(ctx, l.guard, key, f)
	}
	return inPlace(ctx, l.guard, f)
}
