package lograte

import "time"

// A Bucket says how often something may happen: Burst times at once, and once more
// each Every. The zero value of what is not exported is a full one. It is not for
// concurrent use.
type Bucket struct {
	Burst int
	Every time.Duration

	full time.Time // when it will be full again
}

// Wait is how long after now there is room for one, 0 for now.
func (b *Bucket) Wait(now time.Time) time.Duration {
	if b.Full(now) {
		return 0 // whose difference need not fit in a Duration
	}
	return max(0, b.full.Sub(now)-time.Duration(b.Burst-1)*b.Every)
}

// Room reports whether there is room for one now.
func (b *Bucket) Room(now time.Time) bool { return b.Wait(now) == 0 }

// Take takes one, and reports whether there was room for it.
func (b *Bucket) Take(now time.Time) bool {
	if !b.Room(now) {
		return false
	}
	if b.full.Before(now) {
		b.full = now
	}
	b.full = b.full.Add(b.Every)
	return true
}

// Full reports whether nothing of it is taken.
func (b *Bucket) Full(now time.Time) bool { return !b.full.After(now) }
