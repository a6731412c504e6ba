// Package sampler looks at nodes again and again while somebody reads what changes there, so that
// there are rates.
//
// # Model
//
// A reader ([Sampler.Read]) names the nodes and how often it will look. From then on each of the
// nodes is sampled: at the shortest interval that any reader wants, one for all of them, and not
// below the policy's sample_min. It ends [Linger] after the last; then nothing is in memory, and
// nothing is asked of the node any more. Who wants processes gets a snapshot of them each time, and
// the node's figures with it in the same exchange; who wants figures alone has no process looked at.
//
// Of a node there are the newest sample and a short ring of those before. A sample of processes is
// the node's table, as proctable has it, and beside it a few numbers of each process; an older one
// is no more than what has changed since, so that with one process of twenty changing from sample to
// sample the whole ring takes less than 100 bytes a process.
//
// # Rates
//
// A rate is a difference of two samples divided by what the node's own CLOCK_MONOTONIC counted
// between them, whenever the answers came: [Reading.Over] says how long that was. Of one sample
// alone there is none, nor of a counter that has fallen, as it does at a reboot. A process whose
// record has not changed has used no processor time; one that is new has used all that it has.
//
// # Failure
//
// A node that does not answer does not hold up the others: it is shown as it was last, with how old
// that is, for as long as the policy lets old values be shown, and then as missing, with the reason.
//
// # Concurrency
//
// Everything exported may be used concurrently; what Read returns never changes.
package sampler

import (
	"context"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
)

const (
	// Linger is for how long a node is sampled after its last reader.
	Linger = 5 * time.Second
	// DefaultEvery is the interval of a reader who names none.
	DefaultEvery = time.Second
	// MaxEvery is the longest interval: the last sample is in memory for so long.
	MaxEvery = time.Minute
)

// Config is what a Sampler is made of.
type Config struct {
	Nodes []*proctable.Node
	// Least is the shortest interval that is allowed now.
	Least func() time.Duration
}

// A Sampler samples the nodes of a front end.
type Sampler struct {
	least func() time.Duration
	nodes map[*proctable.Node]*node // never changes
}

// New makes a sampler that does nothing until somebody reads. What it starts ends with the nodes.
func New(cfg Config) *Sampler {
	s := &Sampler{least: cfg.Least, nodes: make(map[*proctable.Node]*node, len(cfg.Nodes))}
	for i, n := range cfg.Nodes {
		s.nodes[n] = newNode(n, i)
	}
	return s
}

// A Want is what a reader wants.
type Want struct {
	Every     time.Duration // how often it looks; 0 is DefaultEvery
	Processes bool          // beside the figures
}

// Every is the interval that there is for a reader who wants that one, by the policy as it is now.
func (s *Sampler) Every(every time.Duration) time.Duration {
	if every <= 0 {
		every = DefaultEvery
	}
	return min(max(every, s.least()), MaxEvery)
}

// Read is what is known of each of the nodes, in their order: a sample that is no older than the
// reader's interval, for which a listing's time is waited if there is none yet.
func (s *Sampler) Read(ctx context.Context, nodes []*proctable.Node, w Want) []Reading {
	w.Every = s.Every(w.Every)
	out := make([]Reading, len(nodes))
	// All begin before one is waited for.
	waiting := make([]bool, len(nodes))
	var since time.Time // for all of them: who waits for one after the other waits once
	for i, n := range nodes {
		if i == 0 {
			since = n.Now()
		}
		var ready bool
		out[i], ready = s.nodes[n].want(w, since)
		waiting[i] = !ready
	}
	waits := proctable.NewWaits(ctx)
	defer waits.End()
	contexts := make([]context.Context, len(nodes))
	for i, n := range nodes {
		if waiting[i] {
			contexts[i] = waits.Of(n)
		}
	}
	for i, n := range nodes {
		if waiting[i] {
			out[i] = s.nodes[n].await(contexts[i], w, since)
		}
	}
	return out
}

// Running is how many nodes are being sampled.
func (s *Sampler) Running() (n int) {
	for _, one := range s.nodes {
		one.mu.Lock()
		if one.running {
			n++
		}
		one.mu.Unlock()
	}
	return n
}
