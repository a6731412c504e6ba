package cachepolicy

import (
	"math/bits"
	"strings"
	"sync/atomic"

	"github.com/aggrfs/aggrfs/internal/procpath"
)

// An index finds the rule of a path. No pattern tells one pid from another
// (Parse refuses such), so all paths that differ in the pid, and in the tid below
// task/, have the same rules: they are one class of paths, known by what follows.
//
// What was found for a class is cached in a memo, which has a fixed number of places
// and fills but never changes: a place that is taken stays so. A path that has no
// place is tried on the rules whose patterns end in its last element, or in one that
// stands for many.
type index struct {
	byLast map[string][]candidate // by a last element that is a plain name
	others []candidate            // what remains: for any last element
	memo   [memoPlaces]atomic.Pointer[class]
}

const (
	memoBits   = 10
	memoPlaces = 1 << memoBits
	memoLength = 64 // the longest rest of a path that gets a place, in bytes
)

// A candidate is one alternative of a rule's pattern.
type candidate struct {
	pattern *procpath.Pattern
	rule    *Rule
}

// A class is what is known of all paths of one kind that end in the same way:
// their rules in order, up to the first that is for all nodes.
type class struct {
	kind  kind
	rest  string
	rules []*Rule
}

// kind is what a path is below, and thereby what its rest is relative to.
type kind uint8

const (
	ofMachine kind = iota // the root of /proc
	ofProcess             // <pid>
	ofThread              // <pid>/task/<tid>
)

// processDir and taskDir are the patterns of what paths are below.
const (
	processDir = "<pid>/"
	taskDir    = "task/"
)

func newIndex(rules []*Rule) *index {
	x := &index{byLast: make(map[string][]candidate)}
	var all []candidate
	for _, r := range rules {
		for _, text := range r.Match.Alternatives() {
			p, err := procpath.Compile(text)
			if err != nil {
				panic(err) // it was part of one
			}
			all = append(all, candidate{p, r})
		}
	}
	for _, c := range all {
		if last := lastElement(c.pattern.String()); !strings.ContainsAny(last, "*<") {
			x.byLast[last] = nil
		}
	}
	for _, c := range all {
		last := lastElement(c.pattern.String())
		if _, plain := x.byLast[last]; plain {
			x.byLast[last] = append(x.byLast[last], c)
			continue
		}
		x.others = append(x.others, c)
		for name := range x.byLast {
			x.byLast[name] = append(x.byLast[name], c)
		}
	}
	return x
}

func lastElement(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// Rule is the rule of a file on a node; path is relative to the node's /proc and
// has native names. It is never nil. It may be called concurrently and allocates
// nothing, but for the first path of each kind.
func (p *Policy) Rule(node, path string) *Rule {
	kind, rest := split(path)
	return p.index.find(node, path, kind, rest)
}

// ruleWithin is Rule for a path that is relative to a process directory.
func (p *Policy) ruleWithin(node, rest string) *Rule {
	kind, tail := splitTask(rest)
	if c := p.index.place(kind, tail).Load(); c != nil && c.kind == kind && c.rest == tail {
		return c.rule(node)
	}
	path := "1" // any will do
	if rest != "" {
		path += "/" + rest
	}
	return p.index.find(node, path, kind, tail)
}

func split(path string) (kind, string) {
	n := numberEnd(path)
	switch {
	case n == 0:
		return ofMachine, path
	case n == len(path):
		return ofProcess, ""
	}
	return splitTask(path[n+1:])
}

func splitTask(rest string) (kind, string) {
	if !strings.HasPrefix(rest, taskDir) {
		return ofProcess, rest
	}
	switch n := numberEnd(rest[len(taskDir):]); {
	case n == 0:
		return ofProcess, rest
	case len(taskDir)+n == len(rest):
		return ofThread, ""
	default:
		return ofThread, rest[len(taskDir)+n+1:]
	}
}

// numberEnd is the length of path's first element if that is a number as procpath
// has it, 0 otherwise.
func numberEnd(path string) int {
	const most = 10 // digits
	for i := 0; i < len(path) && i <= most; i++ {
		switch c := path[i]; {
		case '1' <= c && c <= '9', c == '0' && i > 0:
			if i == most {
				return 0
			}
		case c == '/':
			return i
		default:
			return 0
		}
	}
	return len(path)
}

// place is where what is known of a class is cached: by its length, how it begins and
// how it ends.
func (x *index) place(kind kind, rest string) *atomic.Pointer[class] {
	const odd = 0x9e3779b97f4a7c15 // 2^64 / the golden ratio
	h := uint64(len(rest))<<2 | uint64(kind)
	switch n := len(rest); {
	case n >= 8:
		h ^= eight(rest) ^ bits.RotateLeft64(eight(rest[n-8:])*odd, 32)
	case n >= 4:
		h ^= uint64(four(rest))<<32 | uint64(four(rest[n-4:]))<<8
	case n > 0:
		h ^= uint64(rest[0])<<40 | uint64(rest[n/2])<<24 | uint64(rest[n-1])<<8
	}
	return &x.memo[h*odd>>(64-memoBits)]
}

// eight and four are the first bytes of s as a number, which compilers read at once.
func eight(s string) uint64 { return uint64(four(s)) | uint64(four(s[4:]))<<32 }

func four(s string) uint32 {
	_ = s[3]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func (x *index) find(node, path string, kind kind, rest string) *Rule {
	place := x.place(kind, rest)
	known := place.Load()
	if known != nil && known.kind == kind && known.rest == rest {
		return known.rule(node)
	}
	candidates, plain := x.byLast[lastElement(path)]
	if !plain {
		candidates = x.others
	}
	if known == nil && len(rest) <= memoLength {
		fresh := &class{kind: kind, rest: strings.Clone(rest)}
		for _, c := range candidates {
			if n := len(fresh.rules); c.pattern.Match(path) && (n == 0 || fresh.rules[n-1] != c.rule) {
				fresh.rules = append(fresh.rules, c.rule)
				if c.rule.Nodes.All() {
					break
				}
			}
		}
		place.CompareAndSwap(nil, fresh)
		return fresh.rule(node)
	}
	for _, c := range candidates {
		if c.rule.Nodes.Has(node) && c.pattern.Match(path) {
			return c.rule
		}
	}
	return nil // never: the last rule is for all
}

// rule is the one of the class on a node.
func (c *class) rule(node string) *Rule {
	for _, r := range c.rules {
		if r.Nodes.Has(node) {
			return r
		}
	}
	return nil // never: the last rule is for all
}
