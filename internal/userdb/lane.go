package userdb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/aggrfs/aggrfs/internal/flight"
)

// ErrBusy says that a question is not asked, since as many are in flight as may be at
// once. It says nothing about whom it is about.
var ErrBusy = errors.New("the user database is being asked for too many others at once")

// A kind is what a question is about.
type kind uint8

const (
	userByName kind = iota
	userByID
	groupByName
	groupByID
	groupsOf // the supplementary groups of the user of that name
)

// A question is what can be asked, and the key of the cache.
type question struct {
	kind kind
	key  string // a valid name, or a number in decimal
}

// String names what is asked for in errors.
func (q question) String() string {
	switch q.kind {
	case userByName, userByID:
		return fmt.Sprintf("user %q", q.key)
	case groupByName, groupByID:
		return fmt.Sprintf("group %q", q.key)
	}
	return fmt.Sprintf("groups of user %q", q.key)
}

// An answer has what its question asked for, and else nothing.
type answer struct {
	user   User
	gid    uint32
	groups []uint32 // never changed
}

// cached is how a question was answered.
type cached struct {
	answer
	err     error
	expires time.Time // it is fresh until then
	stale   time.Time // an answer may be given as stale until then
}

// A lane is where questions of one sort are asked: its processes, its cache and what it
// knows of the name service are its own. So no number of names that a client makes up
// keeps a question waiting on which somebody's rights depend, makes it fail, or has its
// answer evicted.
type lane struct {
	slots chan struct{} // as many as getents may run
	// most is how many questions may be in flight, and each how many on the account of
	// one user; one more is ErrBusy. 0 is no limit.
	most, each int

	silence breaker // of the name service
	crowd   breaker // of a lane with a limit in which no turn came

	answers  *lru.Cache[question, cached]
	failures *lru.Cache[question, cached] // and whom nobody knows; apart, as there is no end of names

	mu       sync.Mutex
	inFlight map[question]*flight.Flight[cached] // guarded by mu
	accounts map[uint32]int                      // how many are in flight on whose; guarded by mu
}

// maxFailures is how many failures a lane caches.
const maxFailures = 1024

func newLane(processes, most, each, entries int) *lane {
	answers, _ := lru.New[question, cached](max(entries, 1)) // fails for a size below 1 only
	failures, _ := lru.New[question, cached](max(min(entries, maxFailures), 1))
	return &lane{
		slots: make(chan struct{}, max(processes, 1)), most: most, each: each, answers: answers, failures: failures,
		inFlight: map[question]*flight.Flight[cached]{}, accounts: map[uint32]int{},
	}
}

// ask answers from the cache, or by a look-up in the lane on the account of a user, which
// it shares with all callers that have the same question meanwhile.
func (d *DB) ask(ctx context.Context, l *lane, account uint32, q question) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}
	if c, ok := d.fresh(l, q); ok {
		return c.answer, c.err
	}
	f := d.join(l, account, q)
	if f == nil {
		if c, ok := d.stale(l, q); ok {
			return c.answer, nil
		}
		return answer{}, fmt.Errorf("%v: %w", q, ErrBusy)
	}
	if err := f.Wait(ctx); err != nil {
		return answer{}, err
	}
	c, err := f.Result()
	return c.answer, err
}

// fresh is what a lane has cached of a question. What was found out about who has which
// rights is good for all lanes.
func (d *DB) fresh(l *lane, q question) (c cached, ok bool) {
	now := d.cfg.Now()
	for _, cache := range []*lru.Cache[question, cached]{l.answers, l.failures, d.rights.answers} {
		if c, ok = cache.Get(q); ok && now.Before(c.expires) && (l == d.rights || cache != d.rights.answers || c.err == nil) {
			return c, true
		}
	}
	return cached{}, false
}

// stale is the last good answer, where one cannot be had.
func (d *DB) stale(l *lane, q question) (c cached, ok bool) {
	now := d.cfg.Now()
	for _, lane := range []*lane{l, d.rights} {
		if c, ok = lane.answers.Get(q); ok && now.Before(c.stale) {
			return c, true
		}
	}
	return cached{}, false
}

// join is the look-up of a question that is in flight, or a new one; nil where too many
// are.
func (d *DB) join(l *lane, account uint32, q question) *flight.Flight[cached] {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.inFlight[q]
	if f != nil && f.Join() {
		return f
	}
	if l.most > 0 && (len(l.inFlight) >= l.most || l.accounts[account] >= l.each) {
		return nil
	}
	l.accounts[account]++
	f = flight.Start(context.Background(), func(run func()) { go run() }, func(ctx context.Context) (cached, error) {
		c := d.lookUp(ctx, l, q)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.inFlight[q] == f {
			delete(l.inFlight, q)
		}
		if l.accounts[account]--; l.accounts[account] == 0 {
			delete(l.accounts, account)
		}
		return c, c.err
	})
	l.inFlight[q] = f
	return f
}

// lookUp asks, and caches the answer, unless all who wait for it have left.
func (d *DB) lookUp(ctx context.Context, l *lane, q question) cached {
	if c, ok := d.fresh(l, q); ok { // of a look-up that has just ended
		return c
	}
	limited, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	a, err := d.find(limited, l, q)
	now := d.cfg.Now()
	last, hasLast := d.stale(l, q)
	var c cached
	switch {
	case err == nil:
		c = cached{answer: a, expires: now.Add(d.cfg.Age), stale: now.Add(d.cfg.StaleAge)}
	case ctx.Err() != nil:
		return cached{err: ctx.Err()}
	case errors.Is(err, ErrUnknown):
		c = cached{err: fmt.Errorf("%v: %w", q, err), expires: now.Add(d.cfg.UnknownAge)}
	case hasLast:
		// That the service fails says nothing about somebody whom it had a while ago.
		c = cached{answer: last.answer, expires: now.Add(d.cfg.FailedAge), stale: last.stale}
	default:
		c = cached{err: fmt.Errorf("%v: %w", q, err), expires: now.Add(d.cfg.FailedAge)}
	}
	if c.err == nil {
		l.answers.Add(q, c)
		l.failures.Remove(q)
	} else {
		// A good answer that is there is too old to be given as stale, or there is nobody
		// of that name any more.
		l.answers.Remove(q)
		l.failures.Add(q, c)
	}
	return c
}

// breakAfter is how many failures, one after another, open a breaker. One alone can be a question
// about somebody whom it takes long to find.
const breakAfter = 2

// A breaker is open for a while when something has failed several times without a success, and
// nothing is tried then: a name service that does not answer, a turn that does not come.
// Otherwise each question would wait for it: a table with a hundred users would take
// minutes.
type breaker struct {
	mu       sync.Mutex
	failures int       // since the last success; guarded by mu
	until    time.Time // it is open until then; guarded by mu
}

var errSilent = errors.New("the user database does not answer, and is asked again soon")

// open reports whether nothing is to be tried yet.
func (b *breaker) open(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return now.Before(b.until)
}

// note notes whether a try failed, after which the breaker may be open for that long.
func (b *breaker) note(failed bool, now time.Time, length time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !failed {
		b.failures = 0
		return
	}
	if b.failures++; b.failures >= breakAfter {
		b.until = now.Add(length)
	}
}
