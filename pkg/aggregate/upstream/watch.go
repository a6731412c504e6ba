package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// State is what cluster/nodes says of a node.
type State string

// The states of a node.
const (
	Connecting State = "connecting" // never been reached yet
	Up         State = "up"
	Silent     State = "silent" // connected, but a probe went unanswered
	Down       State = "down"   // no connection
)

// Health is how a node is.
type Health struct {
	State   State
	Since   time.Time     // when the state was entered
	Last    time.Time     // when it last answered; zero is never
	Latency time.Duration // of the last answer
	Err     error         // why it is not up
}

// How a node is watched.
const (
	// retryFirst and retryMax are the first and the longest wait between two
	// attempts to connect, each spread by half either way: a node is back
	// within two seconds of being well.
	retryFirst = 100 * time.Millisecond
	retryMax   = time.Second
	// stable is how long a connection must have lived for the next wait to be
	// the first again.
	stable = 10 * time.Second
	// probeSilent is the time between two probes of a silent node, probeIdle the
	// time without an answer after which a node that is up is probed.
	probeSilent = 500 * time.Millisecond
	probeIdle   = 5 * time.Second
	// giveUp is how long a node may stay silent before its connection is
	// dropped and made anew.
	giveUp = 10 * time.Second
)

// Health is how the node is now.
func (n *Node) Health() Health {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.health
}

// answered notes that the node answered after that long.
func (n *Node) answered(after time.Duration) {
	now := n.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.health.Last, n.health.Latency = now, after
	if n.health.State == Silent {
		n.enterLocked(Up, nil)
	}
}

// enter changes the node's state, err being why it is not up.
func (n *Node) enter(s State, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.enterLocked(s, err)
}

// enterLocked logs each change of state once, however often the state is entered; of a node
// that comes and goes it logs some, and how the node is in the end (see lograte).
func (n *Node) enterLocked(s State, err error) {
	old := n.health.State
	n.health.Err = err
	if s == old {
		return
	}
	n.health.State, n.health.Since = s, n.Now()
	if n.Changed != nil {
		n.Changed(s)
	}
	if old == Connecting {
		close(n.tried)
	}
	if s == Up {
		n.states.Info("node is up", "address", n.Address, "was", string(old))
	} else {
		n.states.Warn("node is "+string(s), "address", n.Address, "err", err)
	}
}

// Probe asks for the node to be probed soon. It does not wait.
func (n *Node) Probe() {
	select {
	case n.suspect <- struct{}{}:
	default:
	}
}

// Run keeps the node connected until its context ends, beginning after that delay. The
// connection is closed when it returns.
func (n *Node) Run(delay time.Duration) {
	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval, retry.MaxInterval, retry.RandomizationFactor = retryFirst, retryMax, 0.5
	if !Sleep(n.ctx, delay) {
		return
	}
	for n.ctx.Err() == nil {
		start := n.Now()
		err := n.connectOnce()
		if n.ctx.Err() != nil {
			return
		}
		if n.Now().Sub(start) > stable {
			retry.Reset()
		}
		n.enter(Down, err)
		if !Sleep(n.ctx, min(retry.NextBackOff(), retryMax)) {
			return
		}
	}
}

// connectOnce opens a connection, watches it until it is of no use, and says
// why it is not.
func (n *Node) connectOnce() error {
	conn, s, err := n.open()
	if err != nil {
		return err
	}
	n.session.Store(s)
	n.enter(Up, nil)
	err = n.watch(conn, s)
	s.end()
	return err
}

// open dials the node and sees to it that it answers.
func (n *Node) open() (Conn, *Session, error) {
	ctx, cancel := context.WithTimeout(n.ctx, n.Limits().Connect)
	defer cancel()
	conn, err := n.Dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, start := newSession(conn), n.Now()
	if err := n.ping(ctx, s); err != nil {
		conn.Close()
		err = fmt.Errorf("attach: %w", err)
		if n.Tree == NodeTree(n.Name) && errors.Is(err, syscall.ENOENT) {
			err = fmt.Errorf("the aggrfs there has no node %s, or does not show it to this one (see aggrfs nodes there): %w", n.Name, err)
		}
		return nil, nil, err
	}
	n.answered(n.Now().Sub(start))
	return conn, s, nil
}

// ping makes the smallest exchange that shows that the node answers: its root's attributes.
func (n *Node) ping(ctx context.Context, s *Session) error {
	root, err := s.root(ctx, n.Reader, n.Tree)
	if err == nil {
		_, err = root.Attr(ctx)
	}
	return err
}

// watch probes the node when it has been idle, when somebody missed an answer,
// and while it is silent. It returns when the connection is of no use any more.
func (n *Node) watch(conn Conn, s *Session) error {
	idle := cmp.Or(n.Idle, probeIdle)
	for {
		h := n.Health()
		wait := idle - n.Now().Sub(h.Last)
		if h.State == Silent {
			wait = probeSilent
			if n.Now().Sub(h.Since) > giveUp {
				return h.Err
			}
		}
		timer := time.NewTimer(max(wait, 10*time.Millisecond))
		select {
		case <-n.ctx.Done():
			timer.Stop()
			return n.ctx.Err()
		case <-conn.Done():
			timer.Stop()
			if err := conn.Err(); err != nil {
				return err
			}
			return errors.New("the connection ended")
		case <-n.suspect:
			timer.Stop()
		case <-timer.C:
			if h = n.Health(); h.State != Silent && n.Now().Sub(h.Last) < idle {
				continue
			}
		}
		if err := n.probeOnce(s); err != nil {
			return err
		}
	}
}

// probeOnce moves the node between up and silent by whether it answers a ping in time. An
// answer that is an error makes the connection useless: it is returned.
func (n *Node) probeOnce(s *Session) error {
	// A probe is small: half of what any exchange may take.
	timeout := n.Limits().Read / 2
	ctx, cancel := context.WithTimeout(n.ctx, timeout)
	defer cancel()
	start := n.Now()
	err := n.ping(ctx, s)
	switch {
	case err == nil:
		n.answered(n.Now().Sub(start))
	case ctx.Err() == context.DeadlineExceeded:
		n.enter(Silent, fmt.Errorf("no answer to a probe for %v", timeout))
	case n.ctx.Err() == nil:
		return fmt.Errorf("the answer to a probe: %w", err)
	}
	return nil
}

// Sleep waits that long and reports false if ctx ended first.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Spread is a delay for the first connection of one of many nodes, so that they do not all
// start in the same instant.
func Spread(nodes int) time.Duration {
	const each = 100 * time.Microsecond
	return time.Duration(rand.Int64N(int64(each)*int64(nodes) + 1))
}
