// Package cachepolicy says which files of the nodes may be kept, for how long,
// and which of them a sweep brings along; and it keeps them.
//
// # Model
//
// What may be kept is a matter of the file, not of the process that it belongs
// to: a [Policy] is a list of rules (see [Rule]), each of which names files by a
// pattern, and the first that names a file is the file's rule. A file that no rule
// names is never kept. [Parse] reads a policy as people write it; [Default] is the
// one that is in force without a file, configs/cachepolicy.yaml.
//
// A [Store] holds what may be held. What it holds is known by a [Key], which says
// of which process on which node, since which boot, in which form or as whom a
// file was read: a pid that is used again, a node that was booted again and another
// user each have another key, and so never get what is not theirs. The age of what
// is held is counted from before it was asked for, by a clock that does not step.
//
// # Freshness
//
// A value is given out until it is as old as its rule's cache, never longer, unless
// the node does not answer: then it is given out as stale until it is as old as cache
// and stale together, and says so. One who comes while a value is being fetched waits
// for that fetch, if it began no longer ago than the file may be kept; of a file that
// may not be kept each asks for themselves. What a node answered instead of a file,
// such as ENOENT, is kept for the rule's negative.
//
// # Change
//
// A Policy never changes once made and may be used concurrently. A Store takes
// another one while it is used: whoever asks from then on is answered by the new
// policy alone, and what it does not allow to be held is gone when [Store.SetPolicy]
// returns.
package cachepolicy

import (
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/internal/procpath"
)

// Policy is a set of rules, see the package comment.
type Policy struct {
	// Name is what the policy is called in messages, mostly its file's.
	Name string
	// MaxBytes is how much a store may hold, in bytes, what it takes to hold it
	// included.
	MaxBytes uint64
	// MaxEntry is the largest content that is held, in bytes.
	MaxEntry uint64
	// Rules are in the order of the file; the last is the one for all that no other
	// names, and not in the file. Nobody changes them.
	Rules []*Rule

	prefetch []string
	table    time.Duration
	stale    time.Duration // see StaleTable
	index    *index
	warnings []string
}

const (
	// DefaultMaxBytes and DefaultMaxEntry are what a policy has that does not say.
	DefaultMaxBytes = 512 << 20
	DefaultMaxEntry = 1 << 20 // see DefaultMaxBytes
)

// newPolicy is a policy of these rules and the default one.
func newPolicy(rules []*Rule) *Policy {
	all, err := procpath.Compile("**")
	if err != nil {
		panic(err) // a constant
	}
	p := &Policy{Name: "built-in cache policy", MaxBytes: DefaultMaxBytes, MaxEntry: DefaultMaxEntry, Rules: slices.Clip(rules)}
	p.Rules = append(p.Rules, &Rule{Match: Pattern{all}, Cache: Never, Why: "no rule names it"})
	for i, r := range p.Rules {
		r.index = i
		if !r.Prefetch {
			continue
		}
		for _, file := range r.Match.Alternatives() {
			name := file[len(processDir):]
			if !slices.Contains(p.prefetch, name) {
				p.prefetch = append(p.prefetch, name)
			}
		}
		if keep := r.Cache.For(); p.table == 0 || keep < p.table {
			p.table = keep
		}
		if shown := r.Cache.For() + r.Stale; p.stale == 0 || shown < p.stale {
			p.stale = shown
		}
	}
	p.index = newIndex(p.Rules)
	return p
}

// sweepFiles are what procps reads of every process: ps the first three, top
// stat and statm.
const sweepFiles = processDir + "{stat,status,cmdline,statm}"

// Sweep returns the policy that keeps <pid>/stat, statm, status and cmdline for
// that long, and nothing else.
func Sweep(cache time.Duration) *Policy {
	files, err := procpath.Compile(sweepFiles)
	if err != nil {
		panic(err) // a constant
	}
	return newPolicy([]*Rule{{Match: Pattern{files}, Cache: Cache(cache), Prefetch: true, Why: "what ps and top read of every process"}})
}

// Prefetch are the files, relative to a process directory, that a sweep brings.
// The caller must not change them.
func (p *Policy) Prefetch() []string { return p.prefetch }

// Table is how long what a sweep brought is good: as long as the one of its files
// that may be kept for the shortest time.
func (p *Policy) Table() time.Duration { return p.table }

// StaleTable is how old what a sweep brought may be while its node does not answer: as
// old as the one of its files that may be shown for the shortest time, its cache and
// stale times together.
func (p *Policy) StaleTable() time.Duration { return p.stale }

// Warnings are what in the policy's file deserves a look, each with its place and a
// caret.
func (p *Policy) Warnings() []string { return p.warnings }
