package userdb

import (
	"errors"
	"sync"
	"time"
)

// silentAfter is how many questions in a row go unanswered before none is asked for a
// while. One alone can be about somebody whom it takes long to find.
const silentAfter = 2

// A silence is whether the name service answers at all. Whoever waits for one that
// does not waits for each of their questions: a table with a hundred users would take
// minutes.
type silence struct {
	mu     sync.Mutex
	missed int       // questions without an answer since the last one with; guarded by mu
	until  time.Time // no question before; guarded by mu
}

var errSilent = errors.New("the user database does not answer, and is asked again soon")

// refuses is an error while no question is to be asked.
func (s *silence) refuses(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.until) {
		return errSilent
	}
	return nil
}

// note notes whether a question was missed. A question whose asker went away was
// neither missed nor answered.
func (s *silence) note(missed bool, now time.Time, rest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !missed {
		s.missed = 0
		return
	}
	if s.missed++; s.missed >= silentAfter {
		s.until = now.Add(rest)
	}
}
