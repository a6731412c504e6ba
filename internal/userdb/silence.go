package userdb

import (
	"errors"
	"sync"
	"time"
)

// silentAfter is how many questions in a row go unanswered before none is asked for a
// while. One alone can be about somebody whom it takes long to find.
const silentAfter = 2

// A rest is for how long something is not tried that has failed several times in a row:
// a name service that does not answer, a turn that does not come. Whoever waits for one
// that does not waits for each of their questions: a table with a hundred users would
// take minutes.
type rest struct {
	mu     sync.Mutex
	missed int       // tries that failed since the last one that did not; guarded by mu
	until  time.Time // no try before; guarded by mu
}

var errSilent = errors.New("the user database does not answer, and is asked again soon")

// lasts reports whether nothing is to be tried yet.
func (r *rest) lasts(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Before(r.until)
}

// note notes whether a try failed. A question whose asker went away was neither missed
// nor answered.
func (r *rest) note(missed bool, now time.Time, length time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !missed {
		r.missed = 0
		return
	}
	if r.missed++; r.missed >= silentAfter {
		r.until = now.Add(length)
	}
}
