package aggregate

import (
	"time"

	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
)

// state is what /cluster/nodes says of a node.
type state string

const (
	stateConnecting state = "connecting" // never been reached yet
	stateUp         state = "up"
	stateSilent     state = "silent" // connected, but a probe went unanswered
	stateDown       state = "down"   // no connection
)

// health is what is known of a node's well-being.
type health struct {
	state   state
	since   time.Time     // when the state was entered
	last    time.Time     // when it last answered; zero is never
	latency time.Duration // of the last answer
	err     error         // why it is not up
	sweep   error         // what was wrong with the last snapshot; nil if nothing
	lacks   error         // what is missing from the last one that came; nil if nothing
}

// problem is what an admin should know, nil if all is well.
func (h health) problem() error {
	if h.state != stateUp && h.err != nil {
		return h.err
	}
	if h.sweep != nil {
		return h.sweep
	}
	return h.lacks
}

func (n *node) healthNow() health {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.health
}

// answered notes that the node answered after that long.
func (n *node) answered(after time.Duration) {
	now := n.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.health.last, n.health.latency = now, after
	if n.health.state == stateSilent {
		n.enterLocked(stateUp, nil)
	}
}

// enter changes the node's state.
func (n *node) enter(s state, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.enterLocked(s, err)
}

// enterLocked logs each change of state once, however often it is entered; of a node
// that comes and goes some, and how it is in the end (see lograte).
func (n *node) enterLocked(s state, err error) {
	old := n.health.state
	n.health.err = err
	if s == old {
		return
	}
	n.health.state, n.health.since = s, n.now()
	if s == stateUp && cachepolicy.Unanswered(n.health.sweep) {
		n.health.sweep = nil // it answers again
		n.lagging.Store(false)
	}
	n.failed = time.Time{} // it may have been silent, and not giant
	if old == stateConnecting {
		close(n.tried)
	}
	switch {
	case s == stateUp:
		n.states.Info("node is up", "address", n.address, "was", string(old))
	default:
		n.states.Warn("node is "+string(s), "address", n.address, "err", err)
	}
}

// swept notes how the last snapshot went, and what the table lacks that came of it.
// One that failed is logged, once for as long as it fails; so is one that lacks
// something.
func (n *node) swept(t *table, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil && n.health.sweep == nil && n.health.state == stateUp {
		n.log.Warn("no snapshot", "err", err)
	}
	n.health.sweep = err
	n.lagging.Store(cachepolicy.Unanswered(err))
	if t == nil {
		return
	}
	lacks := lacking(t.Skipped(), t.Facts().Lacks)
	if lacks != nil && n.health.lacks == nil {
		n.log.Warn("a snapshot is not whole", "err", lacks)
	}
	n.health.lacks = lacks
}

// probe asks for the node to be probed soon. It does not wait.
func (n *node) probe() {
	select {
	case n.suspect <- struct{}{}:
	default:
	}
}
