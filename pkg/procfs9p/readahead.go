package procfs9p

import (
	"context"
	"slices"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

// mostReadAheads is how many sweeps with requesters' rights are made at a time: each takes as many
// CPUs and as much memory as one of the leaf's own.
const mostReadAheads = 2

// readAhead is a [snapshot.Source] for one requester: the files of all processes, or of one, as their own
// opens and reads would bring them, each with its own error. A process that the procfs hides from
// them is not there; neither is the leaf's own, of which the kernel cannot be asked. Nothing is
// remembered, and shared with nobody.
func (s *session) readAhead(ctx context.Context, req snapshot.Request) ([]byte, error) {
	l := s.leaf
	if err := l.guard.enter(); err != nil {
		return nil, err
	}
	defer l.guard.leave()
	ctx, cancel := context.WithTimeout(ctx, l.cfg.SweepTimeout)
	defer cancel()
	if err := l.readAheads.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer l.readAheads.Release(1)
	facts, pids, err := l.survey(ctx)
	if err != nil {
		return nil, err
	}
	if req.PID != 0 {
		pids = slices.DeleteFunc(pids, func(p pidIno) bool { return p.pid != req.PID })
	}
	var b snapshot.Builder
	b.Reset(nil, facts, req.Files)
	if err := l.sweepInto(ctx, &b, pids, req.Files, s); err != nil {
		return nil, err
	}
	t, err := b.Table()
	if err != nil {
		return nil, err
	}
	req.Remember, req.Held = false, 0
	return t.Answer(req, 0), nil
}
