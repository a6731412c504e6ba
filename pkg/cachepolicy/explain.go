package cachepolicy

import (
	"fmt"
	"strings"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/internal/procpath"
)

// Explanation is what a policy says of a file, for people.
type Explanation struct {
	Rule    *Rule
	Policy  *Policy
	Path    string // of a file, relative to a node's /proc
	Guarded string // why the content depends on who reads it; "" where it does not
	// Elsewhere are rules that come first on their nodes, where no node was named.
	Elsewhere []*Rule
}

// Explain says which rule is for a file of a node, and what follows; "" is any node,
// for which rules with nodes do not count. Path may begin with /proc/.
func (p *Policy) Explain(node, path string) (Explanation, error) {
	path = strings.TrimSuffix(strings.TrimPrefix(path, "/proc/"), "/")
	if c, err := procpath.Compile(path); err != nil || len(c.Alternatives()) != 1 || strings.ContainsAny(path, "*") {
		return Explanation{}, fmt.Errorf("%q is no path relative to a node's /proc, such as 1234/status or <pid>/status", path)
	}
	path = strings.NewReplacer("<pid>", "1", "<tid>", "1").Replace(path)
	e := Explanation{Rule: p.Rule(node, path), Policy: p, Path: path}
	if kind, rest := split(path); kind != ofMachine {
		e.Guarded = procfile.Guarded(rest)
	}
	for _, r := range p.Rules[:e.Rule.index] {
		if node == "" && r.Match.Match(path) {
			e.Elsewhere = append(e.Elsewhere, r)
		}
	}
	return e, nil
}

// Effect says in sentences what happens when the file is read.
func (e Explanation) Effect() (lines []string) {
	r := e.Rule
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	switch r.Cache {
	case Never:
		say("never cached: each open asks the node")
		return lines
	case Lifetime:
		if kind, _ := split(e.Path); kind == ofMachine {
			say("cached until the node is booted again")
		} else {
			say("cached for as long as the process lives")
		}
	default:
		say("cached for %s, counted from when the node was asked", r.Cache)
	}
	if r.Prefetch {
		say("brought by a sweep, for all processes of a node at once")
		if e.Policy.Listing > 0 {
			say("shown once as of the listing to who has listed the processes through a mount, for %s", FormatSpan(e.Policy.Listing))
		}
	} else {
		say("fetched when it is opened, once for all who read it meanwhile")
	}
	if e.Guarded != "" {
		say("cached for each reader apart: it is %s", e.Guarded)
	}
	if r.Stale > 0 {
		say("shown for %s more, as stale, while the node does not answer", FormatSpan(r.Stale))
	}
	if r.Negative > 0 {
		say("an answer such as \"no such file\" is cached for %s", FormatSpan(r.Negative))
	}
	return lines
}

// Text is the explanation as people read it: a line a fact, its name and the fact. asked
// is the path that was asked for.
func (e Explanation) Text(asked string) []byte {
	var b []byte
	line := func(key, text string) { b = fmt.Appendf(b, "%-7s %s\n", key, plaintext.Escape(text)) }
	line("file", asked)
	line("rule", e.Rule.text())
	place := e.Policy.Name
	if !e.Rule.IsDefault() {
		place += fmt.Sprintf(":%d", e.Rule.Line)
	}
	line("place", place)
	line("why", e.Rule.Why)
	for i, effect := range e.Effect() {
		line([...]string{"effect", ""}[min(i, 1)], effect)
	}
	for _, r := range e.Elsewhere {
		line("but", fmt.Sprintf("on %s the rule of line %d comes first: %s", r.Nodes, r.Line, r.text()))
	}
	return b
}

// text is a rule as a policy file has it, without the reason.
func (r *Rule) text() string {
	text := fmt.Sprintf("{match: %q, cache: %s", r.Match, r.Cache)
	if r.Stale > 0 {
		text += ", stale: " + FormatSpan(r.Stale)
	}
	if r.Negative > 0 {
		text += ", negative: " + FormatSpan(r.Negative)
	}
	if r.Prefetch {
		text += ", prefetch: true"
	}
	if !r.Nodes.All() {
		text += fmt.Sprintf(", nodes: %q", r.Nodes)
	}
	return text + "}"
}
