package aggregate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

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

// run keeps the node connected until n.ctx ends. The connection is closed when
// it returns.
func (n *node) run() {
	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval, retry.MaxInterval, retry.RandomizationFactor = retryFirst, retryMax, 0.5
	for n.ctx.Err() == nil {
		start := n.now()
		err := n.connectOnce()
		if n.ctx.Err() != nil {
			return
		}
		if n.now().Sub(start) > stable {
			retry.Reset()
		}
		n.enter(stateDown, err)
		if !sleep(n.ctx, min(retry.NextBackOff(), retryMax)) {
			return
		}
	}
}

// connectOnce opens a connection, watches it until it is of no use, and says
// why it is not.
func (n *node) connectOnce() error {
	up, err := n.open()
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.up, n.roots = up, map[string]vfs.Node{}
	// It may have come back with another leaf, kernel or boot, to which nothing of what
	// is held means anything. Until now that was for those who were shown its last rows.
	n.names.Store(nil)
	n.clock.Store(nil)
	n.lines.Store(nil)
	n.mu.Unlock()
	n.enter(stateUp, nil)
	err = n.watch(up)
	n.mu.Lock()
	n.up, n.roots, n.rpc = nil, nil, nil // the connection's end is that of its open files
	n.table.Store(n.table.Load().expired())
	n.cgroups.drop()
	n.mu.Unlock()
	up.Close()
	return err
}

// open dials the node and sees to it that it answers.
func (n *node) open() (Upstream, error) {
	ctx, cancel := context.WithTimeout(n.ctx, n.timeouts().Connect)
	defer cancel()
	up, err := n.dial(ctx)
	if err != nil {
		return nil, err
	}
	start := n.now()
	if err := ping(ctx, up, n.reader, n.aname); err != nil {
		up.Close()
		if n.aname == NodeTree(n.name) && errors.Is(err, syscall.ENOENT) {
			err = fmt.Errorf("the aggrfs there has no node %s, or does not show it to this one (see aggrfs nodes there): %w", n.name, err)
		}
		return nil, err
	}
	n.answered(n.now().Sub(start))
	return up, nil
}

// ping makes the smallest exchange that shows that the tree answers.
func ping(ctx context.Context, up Upstream, who vfs.Identity, aname string) error {
	root, err := up.Attach(ctx, who, aname)
	if err == nil {
		_, err = root.Attr(ctx)
	}
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	return nil
}

// watch probes the node when it has been idle, when somebody missed an answer,
// and while it is silent. It returns when the connection is of no use any more.
func (n *node) watch(up Upstream) error {
	for {
		h := n.healthNow()
		wait := probeIdle - n.now().Sub(h.last)
		if h.state == stateSilent {
			wait = probeSilent
			if n.now().Sub(h.since) > giveUp {
				return h.err
			}
		}
		timer := time.NewTimer(max(wait, 10*time.Millisecond))
		select {
		case <-n.ctx.Done():
			timer.Stop()
			return n.ctx.Err()
		case <-up.Done():
			timer.Stop()
			if err := up.Err(); err != nil {
				return err
			}
			return errors.New("the connection ended")
		case <-n.suspect:
			timer.Stop()
		case <-timer.C:
			if h = n.healthNow(); h.state != stateSilent && n.now().Sub(h.last) < probeIdle {
				continue
			}
		}
		if err := n.probeOnce(up); err != nil {
			return err
		}
	}
}

// probeOnce asks for the root's attributes and moves the node between up and
// silent by whether an answer comes in time. An answer that is an error makes
// the connection useless: it is returned.
func (n *node) probeOnce(up Upstream) error {
	// A probe is small: half of what any exchange may take.
	timeout := n.timeouts().Read / 2
	ctx, cancel := context.WithTimeout(n.ctx, timeout)
	defer cancel()
	start := n.now()
	n.mu.Lock()
	root := n.roots[n.aname+"\x00"+n.reader.Key()]
	n.mu.Unlock()
	var err error
	if root == nil {
		root, err = up.Attach(ctx, n.reader, n.aname)
	}
	if err == nil {
		_, err = root.Attr(ctx)
	}
	switch {
	case err == nil:
		n.answered(n.now().Sub(start))
	case ctx.Err() == context.DeadlineExceeded:
		n.enter(stateSilent, fmt.Errorf("no answer to a probe for %v", timeout))
	case n.ctx.Err() == nil:
		return fmt.Errorf("the answer to a probe: %w", err)
	}
	return nil
}

// sleep waits that long and reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// spread delays the first connections of many nodes so that they do not all
// start in the same instant.
func spread(nodes int) time.Duration {
	const each = 100 * time.Microsecond
	return time.Duration(rand.Int64N(int64(each)*int64(nodes) + 1))
}
