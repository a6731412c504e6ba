package cachepolicy

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A ruleset is a policy as a store applies it. It is swapped whole.
type ruleset struct {
	policy *Policy
	bounds []*bound // as Policy.Rules
}

// A bound is a rule as a store applies it.
type bound struct {
	set             *ruleset
	rule            *Rule
	cache, negative time.Duration
	showable        time.Duration // how old a stale value may be
	figures         *figures
}

// newRuleset applies a policy. Rules that were there before go on counting.
func newRuleset(p *Policy, before *ruleset) *ruleset {
	old := make(map[string]*figures)
	if before != nil {
		for _, b := range before.bounds {
			old[b.rule.name()] = b.figures
		}
	}
	set := &ruleset{policy: p}
	for _, r := range p.Rules {
		b := &bound{set: set, rule: r, cache: time.Duration(r.Cache), negative: r.Negative, figures: old[r.name()]}
		b.showable = b.cache
		if r.Cache != Lifetime {
			b.showable += r.Stale
		}
		if delete(old, r.name()); b.figures == nil {
			b.figures = new(figures)
		}
		set.bounds = append(set.bounds, b)
	}
	return set
}

func (r *Rule) name() string { return r.Match.String() + " " + r.Nodes.String() }

// of is the rule for a key.
func (s *ruleset) of(key *Key) *bound {
	if key.PID == 0 {
		return s.bounds[s.policy.Rule(key.Node, key.Path).index]
	}
	return s.bounds[s.policy.ruleWithin(key.Node, key.Path).index]
}

// figures count what happens by one rule. Hits are counted in several places, since
// many readers count them at once.
type figures struct {
	hits [hitPlaces]struct {
		atomic.Int64
		_ [56]byte // so that each has a cache line of its own
	}
	misses, stale, coalesced, evicted atomic.Int64
	entries, bytes                    atomic.Int64
}

const hitPlaces = 8

// countHit counts that an entry was given out. The entry's own count is exact
// while it is small and then goes up in steps, one at random among as many hits,
// so that readers of the same entry do not all write to it.
func (b *bound) countHit(e *entry, now Moment) {
	const exact, step = 32, 32
	r := uint64(now) * 0x9e3779b97f4a7c15 >> 40 // the clock's last digits are random enough
	b.figures.hits[r%hitPlaces].Add(1)
	if n := e.hits.Load(); n < exact {
		e.hits.Add(1)
	} else if r/hitPlaces%step == 0 && n < math.MaxUint32-step {
		e.hits.Add(step)
	}
	if u := e.uses.Load(); u < maxUses {
		e.uses.Store(u + 1)
	}
}

// Figures are what has happened by one rule since the store was made, or since the
// policy has the rule.
type Figures struct {
	Rule      *Rule
	Hits      int64 // reads answered from the cache
	Misses    int64 // reads for which the node was asked
	Coalesced int64 // reads that waited for what was being fetched for another
	Stale     int64 // reads answered with an old value, since the node did not answer
	Evicted   int64 // values that went to make room
	Entries   int64 // cached now
	Bytes     int64 // that those take
}

func yesNo(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

// A clock counts from when it was made. Without a source it is the system's
// monotonic clock, which does not step; a source may.
type clock struct {
	base   time.Time
	source func() time.Time

	mu     sync.Mutex // guards the rest, for a source
	last   time.Duration
	offset time.Duration
}

// leap is longer than any rule lets anything be cached or shown as stale, Lifetime
// apart, which no clock ends.
const leap = 2*maxSpan + time.Hour

func newClock(source func() time.Time) *clock {
	c := &clock{base: time.Now(), source: source}
	if source != nil {
		c.base = source()
	}
	return c
}

// now may be called concurrently.
func (c *clock) now() Moment {
	if c.source == nil {
		return Moment(time.Since(c.base))
	}
	return c.sourced()
}

// sourced is the source's time, made to go on: how long ago anything was is not
// known once it has stepped back, so everything becomes too old. What has passed since
// somebody last looked, and a step back by less, are one and the same to it: who has
// the choice leaves the source away.
func (c *clock) sourced() Moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.source().Sub(c.base)
	if t < c.last {
		c.offset += c.last - t + leap
	}
	c.last = t
	return Moment(t + c.offset)
}
