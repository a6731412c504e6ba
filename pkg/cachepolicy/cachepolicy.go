// Package cachepolicy says which files of a node may be kept, for how long, and
// which of them a sweep brings along.
//
// # Model
//
// What may be kept is a matter of the file, not of the process that it belongs
// to. Today there is one policy, [Sweep]: the four files that ps and top read of
// every process come with a sweep and are kept for a set time, and nothing else
// is kept at all.
//
// A Policy never changes once made and may be used concurrently.
package cachepolicy

import (
	"slices"
	"time"
)

// Policy is a set of rules.
type Policy struct {
	prefetch []string
	cache    time.Duration
}

// sweepFiles are what procps reads of every process: ps the first three, top
// stat and statm.
var sweepFiles = [...]string{"stat", "status", "cmdline", "statm"}

// Sweep returns the policy that keeps <pid>/stat, statm, status and cmdline for
// that long.
func Sweep(cache time.Duration) *Policy {
	return &Policy{prefetch: slices.Clone(sweepFiles[:]), cache: cache}
}

// Prefetch are the files, relative to a process directory, that a sweep brings.
// The caller must not change them.
func (p *Policy) Prefetch() []string { return p.prefetch }

// Table is how long what a sweep brought is good.
func (p *Policy) Table() time.Duration { return p.cache }
