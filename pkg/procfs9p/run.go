package procfs9p

import "context"

// run makes system calls on the procfs for the session: with its rights, and
// apart where they may block. key names the process they may wait for.
func run[T any](ctx context.Context, s *session, key uint64, mayBlock bool, f func() (T, error)) (T, error) {
	g := s.leaf.guard
	if mayBlock {
		if err := g.refused(key); err != nil {
			var none T
			return none, err
		}
	}
	switch {
	case !s.who.IsRoot():
		return apart(ctx, g, key, func() (T, error) { return as(s.who, f) })
	case mayBlock:
		if l, ok := ctx.(leaver); ok {
			return inView(l, g, key, f)
		}
		return apart(ctx, g, key, f)
	}
	return inPlace(ctx, g, f)
}
