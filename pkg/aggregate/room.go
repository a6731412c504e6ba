package aggregate

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// inFlight is how many bytes of answers may be on their way to a cluster at once,
// beside the first few of each: so much memory a sweep of many nodes takes more than
// what it brings.
const inFlight = 64 << 20

// maxRoom is how much of that one answer takes up, however long it is: a node that
// announces very much and sends little must not keep all others waiting.
const maxRoom = 1 << 20

// newRoom makes what snapshots wait in until there is room for them.
func newRoom() func(ctx context.Context, bytes int) (done func(), err error) {
	room := semaphore.NewWeighted(inFlight)
	return func(ctx context.Context, bytes int) (func(), error) {
		n := min(int64(bytes), maxRoom)
		if err := room.Acquire(ctx, n); err != nil {
			return nil, err
		}
		return func() { room.Release(n) }, nil
	}
}
