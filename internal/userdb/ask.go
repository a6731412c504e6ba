package userdb

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A kind is what a question is about.
type kind uint8

const (
	userByName kind = iota
	userByID
	groupByName
	groupByID
	groupsOf // the supplementary groups of the user of that name
)

// A question is what can be asked, and what answers are kept by.
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

// kept is how a question was answered.
type kept struct {
	answer
	err      error
	expires  time.Time // the question is asked again from then on
	lastGood time.Time // an answer is no good from then on, whatever comes of that
}

// A call is a question that is being asked.
type call struct {
	done      chan struct{} // closed when the rest is set
	kept      kept
	abandoned bool // whoever asked went away: there is no answer
}

// ask answers from what is kept, else from a call that is under way in the lane, else
// by asking, on account of a user. The one who asks does so on their own goroutine and
// for as long as their context allows; if that ends first, one of those who wait asks
// again.
func (d *DB) ask(ctx context.Context, l *lane, account uint32, q question) (answer, error) {
	for {
		if err := ctx.Err(); err != nil {
			return answer{}, err
		}
		if k, ok := d.known(l, q); ok {
			return k.answer, k.err
		}
		c, lead, err := l.call(q, account, d.cfg.Now())
		if err != nil {
			if k, ok := d.stale(l, q); ok {
				return k.answer, nil
			}
			return answer{}, fmt.Errorf("%v: %w", q, err)
		}
		if lead {
			d.lead(ctx, l, account, q, c)
			return c.kept.answer, c.kept.err
		}
		select {
		case <-ctx.Done():
			return answer{}, ctx.Err()
		case <-c.done:
		}
		if !c.abandoned {
			return c.kept.answer, c.kept.err
		}
	}
}

// known is what is kept in a lane of a question. What was found out about who has which
// rights is good for all.
func (d *DB) known(l *lane, q question) (kept, bool) {
	now := d.cfg.Now()
	if k, ok := l.fresh(q, now); ok {
		return k, true
	}
	if l == d.rights {
		return kept{}, false
	}
	k, ok := d.rights.fresh(q, now)
	return k, ok && k.err == nil
}

// stale is the last good answer, where one cannot be had.
func (d *DB) stale(l *lane, q question) (kept, bool) {
	now := d.cfg.Now()
	if k, ok := l.stale(q, now); ok || l == d.rights {
		return k, ok
	}
	return d.rights.stale(q, now)
}

// lead asks, and keeps what comes of it.
func (d *DB) lead(ctx context.Context, l *lane, account uint32, q question, c *call) {
	defer func() { l.end(q, account, c) }()
	limited, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	a, err := d.find(limited, l, q)
	if err != nil && ctx.Err() != nil {
		c.kept.err = ctx.Err()
		return
	}
	now := d.cfg.Now()
	c.abandoned = false
	switch {
	case err == nil:
		c.kept = kept{answer: a, expires: now.Add(d.cfg.Age), lastGood: now.Add(d.cfg.StaleAge)}
		return
	case errors.Is(err, ErrUnknown):
		c.kept = kept{err: fmt.Errorf("%v: %w", q, err), expires: now.Add(d.cfg.UnknownAge)}
		return
	}
	// That the service fails says nothing about somebody whom it had a while ago.
	if k, ok := d.stale(l, q); ok {
		c.kept = kept{answer: k.answer, expires: now.Add(d.cfg.FailedAge), lastGood: k.lastGood}
		return
	}
	c.kept = kept{err: fmt.Errorf("%v: %w", q, err), expires: now.Add(d.cfg.FailedAge)}
}
