package procfs9p

import "context"

// run makes system calls on the procfs for the session: with its rights, and
// where they may block so that they can be left behind. key names the process
// that they may wait for. An operation of the tree is one run, so that rights
// are lent once for it.
func run[T any](ctx context.Context, s *session, key uint64, mayBlock bool, f func() (T, error)) (T, error) {
	l := s.leaf
	if mayBlock {
		if err := l.guard.refused(key); err != nil {
			var none T
			return none, err
		}
	}
	if !s.who.IsRoot() {
		asked := f
		f = func() (T, error) { return as(l.own, &s.who, asked) }
	}
	switch {
	case l.own.onSpoilt():
		return apart(ctx, l.guard, key, f)
	case mayBlock:
		if v, ok := ctx.(leaver); ok {
			return inView(v, l.guard, key, f)
		}
		return apart(ctx, l.guard, key, f)
	}
	return inPlace(ctx, l.guard, f)
}
