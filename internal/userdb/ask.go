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
	err     error
	expires time.Time
}

// A call is a question that is being asked.
type call struct {
	done      chan struct{} // closed when the rest is set
	kept      kept
	abandoned bool // whoever asked went away: there is no answer
}

// ask answers from what is kept, else from a call that is under way, else by
// asking. The one who asks does so on their own goroutine and for as long as
// their context allows; if that ends first, one of those who wait asks again.
func (d *DB) ask(ctx context.Context, q question) (answer, error) {
	for {
		if err := ctx.Err(); err != nil {
			return answer{}, err
		}
		d.mu.Lock()
		if k, ok := d.kept.Get(q); ok && d.cfg.Now().Before(k.expires) {
			d.mu.Unlock()
			return k.answer, k.err
		}
		c, underWay := d.running[q]
		if !underWay {
			c = &call{done: make(chan struct{}), abandoned: true}
			d.running[q] = c
		}
		d.mu.Unlock()
		if !underWay {
			d.lead(ctx, q, c)
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

// lead asks, and keeps what comes of it.
func (d *DB) lead(ctx context.Context, q question, c *call) {
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !c.abandoned {
			d.kept.Add(q, c.kept)
		}
		delete(d.running, q)
		close(c.done)
	}()
	limited, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	a, err := d.find(limited, q)
	if err != nil && ctx.Err() != nil {
		c.kept.err = ctx.Err()
		return
	}
	age := d.cfg.Age
	if err != nil {
		age = d.cfg.FailedAge
		if errors.Is(err, ErrUnknown) {
			age = d.cfg.UnknownAge
		}
		err = fmt.Errorf("%v: %w", q, err)
	}
	c.kept = kept{answer: a, err: err, expires: d.cfg.Now().Add(age)}
	c.abandoned = false
}
