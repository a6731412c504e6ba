// Package lograte bounds by time what a log takes of what others cause: a peer that
// fails on purpose, a node that comes and goes.
//
// Of each kind of line a few are written at once and then one a minute. Of those that are
// suppressed the last is written when there is room for it, with the number of the others as
// left_out, so that what a log says last is how things are. Lines below Info pass:
// whoever wants those wants all. Texts longer than MaxText are cut in every line.
package lograte

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	burst = 10
	every = time.Minute
	// maxKinds bounds the kinds told apart; the others are one.
	maxKinds = 256
	// MaxText is how much of a line a text takes, in bytes.
	MaxText = 1024
	// stackKey is the attribute that is not cut: no peer writes a stack.
	stackKey = "stack"
)

// ByMessage bounds the lines of each message, with what the logger was given by With,
// apart from the others.
func ByMessage(log *slog.Logger) *slog.Logger {
	return slog.New(&handler{next: log.Handler(), by: newLimits(time.Now), message: true})
}

// Together bounds all lines as one kind, where the last one is what counts: of a node
// that is up and down, how it is.
func Together(log *slog.Logger) *slog.Logger {
	return slog.New(&handler{next: log.Handler(), by: newLimits(time.Now)})
}

// handler is a slog.Handler before another.
type handler struct {
	next    slog.Handler
	by      *limits
	message bool   // lines of different messages are of different kinds
	with    string // what With was given
}

// limits is what is known of all kinds of a logger.
type limits struct {
	now func() time.Time

	mu    sync.Mutex
	kinds map[string]*kind // guarded by mu
}

// kind is guarded by limits.mu.
type kind struct {
	bucket     Bucket
	next       slog.Handler // for last
	last       slog.Record  // that was suppressed
	suppressed int          // how many were, last with them
	timer      *time.Timer  // writes last; nil is none
}

func newLimits(now func() time.Time) *limits {
	return &limits{now: now, kinds: make(map[string]*kind)}
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := h.with + fmt.Sprint(attrs)
	return &handler{h.next.WithAttrs(attrs), h.by, h.message, with}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.next.WithGroup(name), h.by, h.message, h.with + name}
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	r = cut(r)
	if r.Level < slog.LevelInfo {
		return h.next.Handle(ctx, r)
	}
	key := h.with
	if h.message {
		key += "\x00" + r.Message
	}
	n, ok := h.by.take(key, h.next, r)
	if !ok {
		return nil
	}
	return write(ctx, h.next, r, n)
}

func write(ctx context.Context, to slog.Handler, r slog.Record, leftOut int) error {
	if leftOut > 0 {
		r.AddAttrs(slog.Int("left_out", leftOut))
	}
	return to.Handle(ctx, r)
}

// take reports whether a line is to be written now, and how many before it were not.
func (l *limits) take(key string, next slog.Handler, r slog.Record) (leftOut int, ok bool) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kindLocked(key, now)
	if k.bucket.Take(now) {
		return k.emptyLocked(), true
	}
	k.next, k.last = next, r
	k.suppressed++
	if k.timer == nil {
		k.timer = time.AfterFunc(k.bucket.Wait(now), func() { l.flush(k) })
	}
	return 0, false
}

// flush writes the last line that was suppressed, if it still is.
func (l *limits) flush(k *kind) {
	now := l.now()
	l.mu.Lock()
	k.timer = nil
	if k.suppressed == 0 {
		l.mu.Unlock()
		return
	}
	if wait := k.bucket.Wait(now); wait > 0 {
		k.timer = time.AfterFunc(wait, func() { l.flush(k) })
		l.mu.Unlock()
		return
	}
	k.bucket.Take(now)
	next, last := k.next, k.last
	n := k.emptyLocked() - 1
	l.mu.Unlock()
	_ = write(context.Background(), next, last, n) // as slog does
}

// emptyLocked forgets what was suppressed, and says how much that was.
func (k *kind) emptyLocked() int {
	n := k.suppressed
	k.suppressed, k.next, k.last = 0, nil, slog.Record{}
	if k.timer != nil {
		k.timer.Stop()
		k.timer = nil
	}
	return n
}

func (l *limits) kindLocked(key string, now time.Time) *kind {
	if k := l.kinds[key]; k != nil {
		return k
	}
	if len(l.kinds) >= maxKinds {
		for other, k := range l.kinds {
			if k.suppressed == 0 && k.bucket.Full(now) {
				delete(l.kinds, other)
			}
		}
	}
	if len(l.kinds) >= maxKinds {
		key = "\x00others"
		if k := l.kinds[key]; k != nil {
			return k
		}
	}
	k := &kind{bucket: Bucket{Burst: burst, Every: every}}
	l.kinds[key] = k
	return k
}

// cut is a line without the rest of long texts.
func cut(r slog.Record) slog.Record {
	out := slog.NewRecord(r.Time, r.Level, Cut(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if v := a.Value.Resolve(); a.Key != stackKey && (v.Kind() == slog.KindString || v.Kind() == slog.KindAny) {
			// An error is given on as its text only where that is long: a handler may
			// show it in its own way.
			if text := v.String(); Cut(text) != text {
				a.Value = slog.StringValue(Cut(text))
			}
		}
		out.AddAttrs(a)
		return true
	})
	return out
}

// Cut is a text that takes at most MaxText bytes where it is quoted, or so much of it
// and how much it lacks.
func Cut(text string) string {
	if 4*len(text) <= MaxText { // no byte takes more
		return text
	}
	took := 0
	for i, c := range text {
		var quoted [16]byte
		switch c {
		case utf8.RuneError:
			took += len(`\xff`)
		case '"':
			took += len(`\"`)
		default:
			took += len(strconv.AppendQuoteRune(quoted[:0], c)) - len("''")
		}
		if took > MaxText {
			return strings.Clone(text[:i]) + fmt.Sprintf(" and %d bytes", len(text)-i)
		}
	}
	return text
}

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
