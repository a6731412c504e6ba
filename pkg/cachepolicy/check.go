package cachepolicy

import (
	"slices"
	"strings"

	"github.com/aggrfs/aggrfs/internal/config/strict"
	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/internal/procpath"
)

// check finds what is wrong with rules by what they say together.
func (r *reader) check() {
	alternatives, prefetched := 0, 0
	for i, e := range r.entries {
		if e.rule.Match.Pattern == nil {
			continue
		}
		if alternatives += len(e.rule.Match.Alternatives()); alternatives > MaxAlternatives {
			e.at["match"].Fail("the braces of all rules so far make more than %d patterns", MaxAlternatives)
			return
		}
		if !e.singlesOut() && !r.covered(i) {
			e.never()
			prefetched = r.prefetch(i, prefetched)
			r.unknown(e)
		}
	}
}

// singlesOut refuses a pattern that is for some processes and not for others.
func (e entryOf) singlesOut() bool {
	for _, text := range e.rule.Match.Alternatives() {
		if element := singlesOut(text); element != "" {
			e.at["match"].FailAt(max(0, strings.Index(e.rule.Match.String(), element)),
				"a rule cannot be for some processes and not for others: %q stands for some numbers only; write <pid> or <tid>", element)
			return true
		}
	}
	return false
}

// never refuses what has no meaning for a file that is never cached.
func (e entryOf) never() {
	if _, given := e.at["cache"]; !given || !e.ok || e.rule.Cache != Never {
		return
	}
	for key, set := range map[string]bool{"stale": e.rule.Stale > 0, "negative": e.rule.Negative > 0} {
		if set {
			e.at[key].Fail("%s has no meaning where cache is never: nothing of the file is cached", key)
		}
	}
}

// covered refuses a rule that can never match, since others before it match all that
// it would, and remarks on alternatives of which that is so.
func (r *reader) covered(i int) bool {
	e := r.entries[i]
	var before []*Rule
	for _, earlier := range r.entries[:i] {
		if earlier.rule.Match.Pattern != nil && e.rule.Nodes.within(earlier.rule.Nodes) {
			before = append(before, earlier.rule)
		}
	}
	by, is := coveredBy(e.rule.Match.Pattern, before)
	switch {
	case is && by != nil:
		e.at["match"].Fail("this rule can never match: that of line %d, %s, matches all of its files first", by.Line, by.Match)
	case is:
		e.at["match"].Fail("this rule can never match: the rules before it match all of its files first")
	}
	if is || e.rule.Prefetch {
		return is
	}
	for _, text := range e.rule.Match.Alternatives() {
		p, err := procpath.Compile(text)
		if err != nil {
			continue // it was part of one
		}
		if by, is := coveredBy(p, before); is && by != nil {
			r.remark(e.at["match"].At(0, "nothing is left of %s here: the rule of line %d, %s, matches it first", text, by.Line, by.Match))
		}
	}
	return false
}

// coveredBy reports whether rules match all that a pattern does, and which of them
// does so alone; nil if it takes several.
func coveredBy(p *procpath.Pattern, rules []*Rule) (by *Rule, is bool) {
	all := make([]*procpath.Pattern, len(rules))
	for i, rule := range rules {
		all[i] = rule.Match.Pattern
	}
	if len(rules) == 0 || !procpath.Within(p, all...) {
		return nil, false
	}
	for i, one := range all {
		if procpath.Within(p, one) {
			return rules[i], true
		}
	}
	return nil, true
}

// prefetch refuses to have a sweep bring what it cannot. so is how many files it
// brings already.
func (r *reader) prefetch(i, so int) int {
	e := r.entries[i]
	if !e.rule.Prefetch {
		return so
	}
	at := e.at["prefetch"]
	if e.rule.Cache == Never && e.ok {
		at.Fail("a file that is never cached cannot be prefetched: a sweep brings it before anybody reads it")
	}
	if !e.rule.Nodes.All() {
		at.Fail("a sweep asks all nodes for the same files: a rule with prefetch has no nodes")
	}
	for _, text := range e.rule.Match.Alternatives() {
		name, inProcess := strings.CutPrefix(text, processDir)
		why := procfile.Guarded(name)
		offset := max(0, strings.Index(e.rule.Match.String(), lastElement(text)))
		switch {
		case !inProcess || strings.ContainsAny(name, "*<"):
			e.at["match"].FailAt(offset, "prefetch names files of a process directory one by one, as <pid>/{stat,status}; %s is none", text)
		case why != "":
			e.at["match"].FailAt(offset, "%s cannot be prefetched, since what is prefetched is for all readers: it is %s", name, why)
		case strings.Contains(name, "/"):
			e.at["match"].FailAt(offset, "a sweep reads files of the process directory itself, and not %s", name)
		case slices.Contains([]string{"attr", "net", "task"}, name):
			e.at["match"].FailAt(offset, "%s is a directory; a sweep brings files", name)
		}
		for _, earlier := range r.entries[:i] {
			if p := earlier.rule.Match.Pattern; p != nil && p.Match("1/"+name) && inProcess {
				e.at["match"].FailAt(offset, "%s is not this rule's to prefetch: the rule of line %d, %s, matches it first", name, earlier.rule.Line, p)
				break
			}
		}
		if so++; so == MaxPrefetch+1 {
			at.Fail("more than %d files to prefetch", MaxPrefetch)
		}
	}
	return so
}

// unknown remarks on names that are none of /proc's but nearly one.
func (r *reader) unknown(e entryOf) {
	for _, text := range e.rule.Match.Alternatives() {
		if name, word := nearestFile(text); word != "" {
			r.remark(e.at["match"].At(max(0, strings.Index(e.rule.Match.String(), name)), "no file of /proc is known here as %q; did you mean %q?", name, word))
		}
	}
}

func (r *reader) remark(at strict.Error) { r.warnings = append(r.warnings, at.Error()) }
