package sampler

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
)

const (
	// ringLength is how many samples there are of a node, the newest included.
	ringLength = 12
	// mostDemands is how many different wishes of readers are told apart.
	mostDemands = 16
)

// A node is what is known of one node, and who wants it.
type node struct {
	*proctable.Node
	phase float64       // where in an interval it is sampled, 0 to 1, so that not all are at once
	wake  chan struct{} // holds a token when the plan has changed

	mu      sync.Mutex
	running bool          // guarded by mu
	demands []demand      // guarded by mu
	came    chan struct{} // closed at the end of the attempt under way; guarded by mu

	figures []proctable.NodeFigures // the newest last; guarded by mu
	procs   *Procs                  // the newest; nil is none; guarded by mu
	// The last attempt that has ended: when it did, what it was of, and why it failed.
	tried      time.Time // guarded by mu
	triedProcs bool      // guarded by mu
	err        error     // guarded by mu
}

// A demand is a wish of one or more readers, and until when it counts.
type demand struct {
	Want
	until time.Time
}

func newNode(n *proctable.Node, i int) *node {
	_, phase := math.Modf(float64(i) * math.Phi)
	return &node{Node: n, phase: phase, wake: make(chan struct{}, 1), came: make(chan struct{})}
}

// want notes the wish of a reader who reads now, sees to it that the node is sampled, and returns
// what is known if that is all there is to wait for.
func (n *node) want(w Want, now time.Time) (r Reading, ready bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.noteLocked(w, now)
	if !n.running {
		n.running = n.Go(n.run)
		if !n.running {
			return Reading{Node: n.Node, Err: context.Canceled}, true
		}
	}
	return n.readingLocked(w, now, now)
}

// noteLocked notes a wish. Where there are too many, the one that ends first gives way.
func (n *node) noteLocked(w Want, now time.Time) {
	// Who looks at longer intervals is not gone before the next look is due.
	d := demand{w, now.Add(max(Linger, w.Every+w.Every/2))}
	at := -1
	for i := range n.demands {
		if n.demands[i].Want == w {
			n.demands[i] = d
			return
		}
		if at < 0 || n.demands[i].until.Before(n.demands[at].until) {
			at = i
		}
	}
	if len(n.demands) < mostDemands {
		n.demands = append(n.demands, d)
	} else {
		n.demands[at] = d
	}
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// await waits for a sample that is good for a reader who reads since then, or for an attempt at one to
// fail.
func (n *node) await(ctx context.Context, w Want, since time.Time) Reading {
	for {
		n.mu.Lock()
		r, ready := n.readingLocked(w, n.Now(), since)
		came := n.came
		n.mu.Unlock()
		if ready {
			return r
		}
		select {
		case <-came:
		case <-ctx.Done():
			n.mu.Lock()
			defer n.mu.Unlock()
			return n.staleLocked(w, n.Now(), n.Overdue())
		}
	}
}

// readingLocked is what is known, if it is new enough, or if an attempt to know more has ended within
// the interval, or since the reader waits: one that takes longer than the interval is as good.
func (n *node) readingLocked(w Want, now, since time.Time) (r Reading, ready bool) {
	if n.freshLocked(w, now) {
		return n.takeLocked(w), true
	}
	if n.tried.IsZero() || w.Processes && !n.triedProcs || n.tried.Before(since) && (n.err == nil || now.Sub(n.tried) > w.Every) {
		return Reading{}, false
	}
	if n.err != nil {
		return n.staleLocked(w, now, n.err), true
	}
	return n.takeLocked(w), true
}

func (n *node) freshLocked(w Want, now time.Time) bool {
	// Not quite an interval, so that what has been read on the way to its reader is no older.
	good := w.Every - w.Every/10
	if w.Processes && (n.procs == nil || now.Sub(n.procs.At) > good) {
		return false
	}
	if len(n.figures) == 0 {
		return w.Processes && !n.procs.telling // an older leaf
	}
	return now.Sub(n.figures[len(n.figures)-1].At) <= good
}

// takeLocked is a reading of the newest.
func (n *node) takeLocked(w Want) Reading {
	r := Reading{Node: n.Node}
	if last := len(n.figures) - 1; last >= 0 {
		r.Now = n.figures[last]
		// The newest that is about an interval older, or else the oldest.
		for i := last - 1; i >= 0; i-- {
			r.Before = n.figures[i]
			if r.Now.At.Sub(r.Before.At) >= w.Every*3/4 {
				break
			}
		}
	}
	if w.Processes {
		r.Procs, r.every = n.procs, w.Every
	}
	return r
}

// staleLocked is a reading of what there is, though it is old, or says why there is none.
func (n *node) staleLocked(w Want, now time.Time, why error) Reading {
	if errors.Is(why, proctable.ErrNoFigures) {
		return Reading{Node: n.Node} // it answers, and has none
	}
	r := n.takeLocked(w)
	var at time.Time
	switch {
	case w.Processes && r.Procs != nil:
		at = r.Procs.At
	case !w.Processes && r.Now.Figures != nil:
		at = r.Now.At
	}
	if age := now.Sub(at); !at.IsZero() && age < n.Policy().StaleTable() {
		r.Age = max(age, 1)
		n.Stale(now)
		return r
	}
	return Reading{Node: n.Node, Err: why}
}

// plan is what is to be done next: at which intervals, 0 for never. It is not ok when nobody wants
// anything any more: then the node is at rest.
func (n *node) plan(now time.Time) (figures, procs time.Duration, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	still := n.demands[:0]
	for _, d := range n.demands {
		if !now.Before(d.until) {
			continue
		}
		still = append(still, d)
		figures = shorter(figures, d.Every)
		if d.Processes {
			procs = shorter(procs, d.Every)
		}
	}
	n.demands = still
	switch {
	case len(still) == 0:
		n.running, n.demands, n.figures, n.procs, n.err, n.tried = false, nil, nil, nil, nil, time.Time{}
		return 0, 0, false
	case procs == 0:
		n.procs = nil
	}
	return figures, procs, true
}

func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b < a {
		return b
	}
	return a
}

// next is when to sample again after a sample at that moment: at the node's place in the next
// interval that is not too near.
func (n *node) next(last time.Time, every time.Duration) time.Time {
	if last.IsZero() {
		return last
	}
	after := last.Add(every / 2)
	phase := time.Duration(n.phase * float64(every))
	into := (time.Duration(after.UnixNano()) - phase) % every
	return after.Add(every - into)
}

// run samples the node until nobody wants it any more.
func (n *node) run() {
	ctx := n.Context()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var lastFigures, lastProcs time.Time
	for ctx.Err() == nil {
		now := n.Now()
		figures, procs, ok := n.plan(now)
		if !ok {
			return
		}
		if procs == 0 {
			lastProcs = time.Time{}
		}
		due, withProcs := n.next(lastFigures, figures), false
		if procs > 0 {
			if at := n.next(lastProcs, procs); !at.After(now) || at.Before(due) {
				due, withProcs = at, true
			}
		}
		if wait := due.Sub(now); wait > 0 {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
			case <-timer.C:
			case <-n.wake:
			}
			continue
		}
		if lastFigures = now; withProcs {
			lastProcs = now
		}
		n.sample(ctx, withProcs)
	}
	n.mu.Lock()
	n.running = false
	n.mu.Unlock()
}

// sample makes one attempt.
func (n *node) sample(ctx context.Context, withProcs bool) {
	var t *proctable.Table
	var f proctable.NodeFigures
	var err error
	if withProcs {
		if t, err = n.Sample(ctx); err == nil && t.Figures() != nil {
			f, err = n.Node.Figures(ctx, time.Minute) // those that came with it, or later
		}
	} else {
		f, err = n.Node.Figures(ctx, 0)
	}
	var procs *Procs
	if t != nil && err == nil {
		n.mu.Lock()
		before := n.procs
		n.mu.Unlock()
		procs = before.next(t)
	}
	if errors.Is(err, context.Canceled) {
		err = n.Unwell()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tried, n.triedProcs, n.err = n.Now(), withProcs, err
	if procs != nil {
		n.procs = procs
	}
	if f.Figures != nil && err == nil {
		n.pushLocked(f)
	}
	close(n.came)
	n.came = make(chan struct{})
}

// pushLocked adds figures to the ring, unless they are no newer. After a reboot it begins anew.
func (n *node) pushLocked(f proctable.NodeFigures) {
	if last := len(n.figures) - 1; last >= 0 {
		switch now, before := monotonic(f), monotonic(n.figures[last]); {
		case now == before:
			n.figures[last].At = f.At
			return
		case now < before:
			n.figures = nil
		}
	}
	if len(n.figures) == ringLength {
		n.figures = append(n.figures[:0], n.figures[1:]...)
	}
	n.figures = append(n.figures, f)
}
