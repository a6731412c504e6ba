package cachepolicy

import (
	"math"
	"time"

	"github.com/aggrfs/aggrfs/internal/procpath"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// A Rule says how the files that it names may be kept. Its fields are the keys of
// the policy file; what their tags say is the text of the JSON Schema.
type Rule struct {
	Match    Pattern       `key:"match" need:"yes" doc:"Which files: a path relative to a node's /proc. <pid> and <tid> stand for any process or thread, * for any run of characters in one element, ** for any number of elements, {a,b} for either."`
	Cache    Cache         `key:"cache" need:"yes" doc:"How old what is held may be: never is not to hold it, lifetime is for as long as the process lives (or, of a file of the machine, until the node is booted again)."`
	Stale    time.Duration `key:"stale" doc:"How much older it may be while the node does not answer. 0s without the key."`
	Negative time.Duration `key:"negative" doc:"How long an answer such as 'no such file' or 'permission denied' is kept. 0s without the key."`
	Prefetch bool          `key:"prefetch" doc:"Whether a sweep brings the file of every process along. The pattern names such files one by one, as <pid>/{stat,status}."`
	Nodes    Nodes         `key:"nodes" doc:"For which nodes the rule is, in hostlist syntax; all without the key."`
	Why      string        `key:"why" doc:"The reason, for people: shown by aggrfs policy explain."`

	// Line is where in its file the rule begins; 0 is in no file.
	Line int

	index int // in Policy.Rules
}

// IsDefault tells whether the rule is the one for all that no other names.
func (r *Rule) IsDefault() bool { return r.Line == 0 && r.Cache == Never }

// A Pattern is a compiled pattern of package procpath.
type Pattern struct{ *procpath.Pattern }

// Cache is how old what is held of a file may be.
type Cache time.Duration

const (
	// Never is not to hold it at all.
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

// All tells whether these are all nodes, whichever there are.
func (n Nodes) All() bool { return n.set == nil }

// Has tells whether node is one of them. It allocates nothing.
func (n Nodes) Has(node string) bool {
	if n.set == nil {
		return true
	}
	_, has := n.set[node]
	return has
}

// within tells whether each of them is one of o.
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
