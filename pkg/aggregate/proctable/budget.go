package proctable

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// A budget bounds the answers with which a cluster is busy at once, so that many nodes, or
// a few that send very much, take no more memory and time than that. Nodes whose last
// snapshot failed have a place of their own: one that announces much and sends nothing,
// or sends what is refused, makes those wait that do the same, and nobody else.
type budget struct{ arriving, checking [2]*semaphore.Weighted }

const (
	// inFlight is how many bytes of answers may be on their way to a cluster at once,
	// beside the first few of each: so much memory a sweep of many nodes takes more than
	// what it brings.
	inFlight, inFlightDoubtful = 64 << 20, 8 << 20
	// maxShare is how much of that one answer takes up, however long it is: a node that
	// announces very much and sends little must not keep all others waiting.
	maxShare = 1 << 20
	// beingChecked is how many bytes of large answers may be decompressed and checked at
	// once; one that is larger takes all of it.
	beingChecked = 64 << 20
)

func newBudget() *budget {
	return &budget{
		arriving: [2]*semaphore.Weighted{semaphore.NewWeighted(inFlight), semaphore.NewWeighted(inFlightDoubtful)},
		checking: [2]*semaphore.Weighted{semaphore.NewWeighted(beingChecked), semaphore.NewWeighted(beingChecked)},
	}
}

// waitFor is a function that waits until so many bytes, but at most that many, fit in,
// and returns what gives them back.
func waitFor(s *semaphore.Weighted, most int64) func(context.Context, int) (func(), error) {
	return func(ctx context.Context, bytes int) (func(), error) {
		n := min(int64(bytes), most)
		if err := s.Acquire(ctx, n); err != nil {
			return nil, err
		}
		return func() { s.Release(n) }, nil
	}
}

// limits are those of a node's next answer.
func (r *budget) limits(doubtful bool) (arrive, turn func(context.Context, int) (func(), error)) {
	place := 0
	if doubtful {
		place = 1
	}
	return waitFor(r.arriving[place], maxShare), waitFor(r.checking[place], beingChecked)
}
