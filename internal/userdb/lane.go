package userdb

import (
	"errors"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// ErrBusy says that a question is not asked, since as many are under way as may be at
// once. It says nothing about whom it is about.
var ErrBusy = errors.New("the user database is being asked for too many others at once")

// A lane is where questions of one sort are asked: its processes, what it keeps and what
// it knows of the name service are its own. So no number of names that a client makes up
// keeps a question waiting on which somebody's rights depend, makes it fail, or has its
// answer forgotten.
type lane struct {
	slots chan struct{} // as many as getents may run
	// most is how many questions may be under way, and each how many on the account of
	// one user; one more is ErrBusy. 0 is no limit.
	most, each int

	silence rest // of the name service
	crowd   rest // of a lane with a limit in which no turn came

	mu       sync.Mutex
	answers  *lru.Cache[question, kept] // guarded by mu
	failures *lru.Cache[question, kept] // and whom nobody knows; apart, as there is no end of names; guarded by mu
	running  map[question]*call         // guarded by mu
	accounts map[uint32]int             // how many are under way on whose; guarded by mu
}

// maxFailures is how many failures a lane keeps.
const maxFailures = 1024

func newLane(processes, most, each, entries int) *lane {
	answers, _ := lru.New[question, kept](max(entries, 1)) // fails for a size below 1 only
	failures, _ := lru.New[question, kept](max(min(entries, maxFailures), 1))
	return &lane{
		slots: make(chan struct{}, max(processes, 1)), most: most, each: each,
		answers: answers, failures: failures, running: map[question]*call{}, accounts: map[uint32]int{},
	}
}

// fresh is what is kept and need not be asked yet.
func (l *lane) fresh(q question, now time.Time) (kept, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.freshLocked(q, now)
}

func (l *lane) freshLocked(q question, now time.Time) (kept, bool) {
	if k, ok := l.answers.Get(q); ok && now.Before(k.expires) {
		return k, true
	}
	k, ok := l.failures.Get(q)
	return k, ok && now.Before(k.expires)
}

// stale is the last good answer, where it may stand for one that cannot be had.
func (l *lane) stale(q question, now time.Time) (kept, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, ok := l.answers.Get(q)
	return k, ok && now.Before(k.lastGood)
}

// call is the call that asks a question: one that is under way or has just ended, or a
// new one, which the caller leads and ends.
func (l *lane) call(q question, account uint32, now time.Time) (c *call, lead bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k, ok := l.freshLocked(q, now); ok {
		c = &call{done: make(chan struct{}), kept: k}
		close(c.done)
		return c, false, nil
	}
	if c = l.running[q]; c != nil {
		return c, false, nil
	}
	if l.most > 0 && (len(l.running) >= l.most || l.accounts[account] >= l.each) {
		return nil, false, ErrBusy
	}
	c = &call{done: make(chan struct{}), abandoned: true}
	l.running[q] = c
	l.accounts[account]++
	return c, true, nil
}

// end keeps what came of a call.
func (l *lane) end(q question, account uint32, c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case c.abandoned:
	case c.kept.err == nil:
		l.answers.Add(q, c.kept)
		l.failures.Remove(q)
	default:
		// A good answer that is there is too old to stand for anything, or there is
		// nobody of that name any more.
		l.answers.Remove(q)
		l.failures.Add(q, c.kept)
	}
	delete(l.running, q)
	if l.accounts[account]--; l.accounts[account] == 0 {
		delete(l.accounts, account)
	}
	close(c.done)
}
