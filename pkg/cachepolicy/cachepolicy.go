// Package cachepolicy says which files of the nodes may be cached, for how long,
// and which of them a sweep brings along; and it is that cache.
//
// # Model
//
// What may be cached is a matter of the file, not of the process that it belongs
// to: a [Policy] is a list of rules (see [Rule]), each of which names files by a
// pattern, and the first that names a file is the file's rule. A file that no rule
// names is never cached. [Parse] reads a policy as people write it; [Default] is the
// one that is in force without a file, configs/cachepolicy.yaml.
//
// A [Store] is the cache. The key of what it has cached ([Key]) says of which process on which node, since which boot, in which form or as whom a
// file was read: a pid that is used again, a node that was booted again and another
// user each have another key, and so never get what is not theirs. The age of what
// is cached is counted from before it was asked for, by a clock that does not step.
//
// # Freshness
//
// A value is fresh, and given out, until it is as old as its rule's cache, never longer,
// unless the node does not answer: then it is given out as stale until it is as old as
// cache and stale together, and says so. A reader who comes while a value is being fetched
// waits for that fetch, if it began no longer ago than the file may be cached; a file that
// may not be cached is fetched for each reader. What a node answered instead of a file,
// such as ENOENT, is cached for the rule's negative.
//
// # Change
//
// A Policy never changes once made and may be used concurrently. A Store takes
// another one while it is used: requests from then on are answered by the new policy
// alone, and what it does not allow to be cached is gone when [Store.SetPolicy] returns.
package cachepolicy

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/internal/procpath"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// Policy is a set of rules, see the package comment.
type Policy struct {
	// Name is what the policy is called in messages, mostly its file's.
	Name string
	// MaxBytes is how much a store may cache, in bytes, including what the cache itself
	// takes.
	MaxBytes uint64
	// MaxEntry is the largest content that is cached, in bytes.
	MaxEntry uint64
	// Listing is for how long a listing of processes through a mount is a promise: the
	// files of a sweep are shown once as of it. Zero is not at all.
	Listing time.Duration
	// SampleMin is the shortest interval at which nodes are sampled for who reads rates.
	SampleMin time.Duration
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
	// DefaultListing and DefaultSampleMin are the same of Listing and SampleMin.
	DefaultListing   = time.Minute
	DefaultSampleMin = 100 * time.Millisecond // see DefaultListing
)

// newPolicy is a policy of these rules and the default one.
func newPolicy(rules []*Rule) *Policy {
	all, err := procpath.Compile("**")
	if err != nil {
		panic(err) // a constant
	}
	p := &Policy{Name: "built-in cache policy", MaxBytes: DefaultMaxBytes, MaxEntry: DefaultMaxEntry, Listing: DefaultListing, SampleMin: DefaultSampleMin, Rules: slices.Clip(rules)}
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
		if ttl := r.Cache.For(); p.table == 0 || ttl < p.table {
			p.table = ttl
		}
		if shown := r.Cache.For() + r.Stale; p.stale == 0 || shown < p.stale {
			p.stale = shown
		}
	}
	p.index = newIndex(p.Rules)
	return p
}

// WithoutStale is the policy by which nothing is shown that has expired.
func (p *Policy) WithoutStale() *Policy {
	rules := make([]*Rule, len(p.Rules)-1) // newPolicy adds the last
	for i := range rules {
		rule := *p.Rules[i]
		rule.Stale = 0
		rules[i] = &rule
	}
	fresh := newPolicy(rules)
	fresh.Name, fresh.MaxBytes, fresh.MaxEntry, fresh.Listing = p.Name, p.MaxBytes, p.MaxEntry, p.Listing
	return fresh
}

// sweepFiles are what procps reads of every process: ps the first three, top
// stat and statm.
const sweepFiles = processDir + "{stat,status,cmdline,statm}"

// Sweep returns the policy that caches <pid>/stat, statm, status and cmdline for
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
// that may be cached for the shortest time.
func (p *Policy) Table() time.Duration { return p.table }

// StaleTable is how old what a sweep brought may be while its node does not answer: as
// old as the one of its files that may be shown for the shortest time, its cache and
// stale times together.
func (p *Policy) StaleTable() time.Duration { return p.stale }

// Warnings are what in the policy's file deserves a look, each with its place and a
// caret.
func (p *Policy) Warnings() []string { return p.warnings }

// A Rule says how the files that it names may be cached. Its fields are the keys of
// the policy file; what their tags say is the text of the JSON Schema.
type Rule struct {
	Match    Pattern       `key:"match" need:"yes" doc:"Which files: a path relative to a node's /proc. <pid> and <tid> stand for any process or thread, * for any run of characters in one element, ** for any number of elements, {a,b} for either."`
	Cache    Cache         `key:"cache" need:"yes" doc:"The TTL, how old what is cached may be: never is not to cache it, lifetime is for as long as the process lives (or, of a file of the machine, until the node is booted again)."`
	Stale    time.Duration `key:"stale" doc:"How much older it may be while the node does not answer. 0s without the key."`
	Negative time.Duration `key:"negative" doc:"How long an answer such as 'no such file' or 'permission denied' is cached. 0s without the key."`
	Prefetch bool          `key:"prefetch" doc:"Whether a sweep brings the file of every process along. The pattern names such files one by one, as <pid>/{stat,status}."`
	Nodes    Nodes         `key:"nodes" doc:"For which nodes the rule is, in hostlist syntax; all without the key."`
	Why      string        `key:"why" doc:"The reason, for people: shown by aggrfs policy explain."`

	// Line is where in its file the rule begins; 0 is in no file.
	Line int

	index int // in Policy.Rules
}

// IsDefault reports whether the rule is the one for all that no other names.
func (r *Rule) IsDefault() bool { return r.Line == 0 && r.Cache == Never }

// A Pattern is a compiled pattern of package procpath.
type Pattern struct{ *procpath.Pattern }

// Cache is the TTL of a file: how old what is cached of it may be.
type Cache time.Duration

const (
	// Never is not to cache it at all.
	Never Cache = 0
	// Lifetime is for as long as the process lives, or the node runs.
	Lifetime Cache = math.MaxInt64
)

// Forever is how long a value is said to be good whose rule is Lifetime.
const Forever = 365 * 24 * time.Hour

// For is c as a span of time.
func (c Cache) For() time.Duration { return min(time.Duration(c), Forever) }

// String is c as a policy file has it.
func (c Cache) String() string {
	switch c {
	case Never:
		return "never"
	case Lifetime:
		return "lifetime"
	}
	return FormatSpan(time.Duration(c))
}

// Nodes are the nodes that a rule is for; the zero Nodes are all of them.
type Nodes struct {
	text string
	set  map[string]struct{}
}

// All reports whether these are all nodes, whichever there are.
func (n Nodes) All() bool { return n.set == nil }

// Has reports whether node is one of them. It allocates nothing.
func (n Nodes) Has(node string) bool {
	if n.set == nil {
		return true
	}
	_, has := n.set[node]
	return has
}

// within reports whether each of them is one of o.
func (n Nodes) within(o Nodes) bool {
	if n.All() || o.All() {
		return o.All()
	}
	for name := range n.set {
		if !o.Has(name) {
			return false
		}
	}
	return true
}

// String is the nodeset as the file has it; "" is all.
func (n Nodes) String() string { return n.text }

func nodesOf(text string) (Nodes, error) {
	set, err := nodeset.Parse(text)
	if err != nil {
		return Nodes{}, err
	}
	n := Nodes{text, make(map[string]struct{}, set.Len())}
	for name := range set.All() {
		n.set[name] = struct{}{}
	}
	return n, nil
}

// FormatSpan writes a span of time without the units that are zero: 1m, not 1m0s.
func FormatSpan(d time.Duration) string {
	switch text := d.String(); {
	case d >= time.Hour && d%time.Hour == 0:
		return text[:len(text)-len("0m0s")]
	case d >= time.Minute && d%time.Minute == 0:
		return text[:len(text)-len("0s")]
	default:
		return text
	}
}

// UnknownNodes says which rules name nodes that are not among those known: a rule for
// them is good for nothing, or not for those that were meant.
func (p *Policy) UnknownNodes(known nodeset.Set) (warnings []string) {
	for _, r := range p.Rules {
		names := make([]string, 0, len(r.Nodes.set))
		for name := range r.Nodes.set {
			names = append(names, name)
		}
		if unknown := nodeset.Of(names...).Unknown(known); unknown != "" {
			warnings = append(warnings, fmt.Sprintf("%s:%d: the rule names nodes that are not in the cluster: %s", p.Name, r.Line, unknown))
		}
	}
	return warnings
}
