package nodeset

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// An Error says what is wrong with a nodeset and where.
type Error struct {
	Text   string // the nodeset
	Offset int    // of the fault in Text, in bytes
	Reason string
}

func (e *Error) Error() string {
	if e.Empty() {
		return e.Reason
	}
	return fmt.Sprintf("bad nodeset %s, at character %d: %s", excerpt(e.Text, e.Offset), e.Offset+1, e.Reason)
}

// Empty reports whether nothing at all was given where a nodeset must be: blanks and
// commas, as of a shell's variables that are not set.
func (e *Error) Empty() bool { return strings.Trim(e.Text, blanks+",") == "" }

// excerpt is the text, in quotes, or the part of a long one around the fault.
func excerpt(text string, at int) string {
	const most, around = 100, 40
	if len(text) <= most {
		return fmt.Sprintf("%q", text)
	}
	from, to, before, after := max(0, at-around), min(len(text), at+around), "...", "..."
	if from == 0 {
		before = ""
	}
	if to == len(text) {
		after = ""
	}
	return before + fmt.Sprintf("%q", text[from:to]) + after
}

// Parse returns the set that text stands for, which is never empty. An error is an
// [*Error].
func Parse(text string) (Set, error) { return ParseAtMost(MaxNames, text) }

// ParseAtMost is Parse for a reader who has no use for more than most names, and no
// time to count them: text may have no more of them on all sides of its operators.
func ParseAtMost(most int, text string) (Set, error) {
	names, err := expand(min(most, MaxNames), text)
	if err != nil {
		return Set{}, err
	}
	return Of(names...), nil
}

// ParseAll returns the set of the names that any of texts stands for, as of an
// option that is given several times. Each text is a nodeset of its own and none
// is empty; there must be one. Together they are at most [MaxNames]. An error is
// an [*Error], of the text that is wrong.
func ParseAll(texts ...string) (Set, error) {
	if len(texts) == 0 {
		texts = []string{""}
	}
	var all Set
	for _, text := range texts {
		set, err := Parse(text)
		if err != nil {
			return Set{}, err
		}
		if all = all.Union(set); all.Len() > MaxNames {
			return Set{}, &Error{Text: text, Reason: fmt.Sprintf("with the nodesets before it this makes more than %d names", MaxNames)}
		}
	}
	return all, nil
}

// Expand returns the names that text stands for as they come, those that are
// named twice twice; where it has set operators, each once and in order. An error
// is an [*Error].
func Expand(text string) ([]string, error) { return expand(MaxNames, text) }

func expand(most int, text string) ([]string, error) {
	p := parser{text: text, most: most}
	terms, total, err := p.terms()
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(terms, func(t term) bool { return t.operator != ',' }) {
		names := make([]string, 0, total)
		for _, t := range terms {
			names = t.pattern.expand(names, "")
		}
		return names, nil
	}
	names := evaluate(terms)
	if len(names) == 0 {
		return nil, p.fail(0, "no node is left of it")
	}
	return Of(names...).names, nil
}

// evaluate takes the operators from left to right, as ClusterShell does. Each costs
// what is to the right of it, however much there is to the left.
func evaluate(terms []term) []string {
	have := map[string]struct{}{}
	for _, t := range terms {
		names := t.pattern.expand(nil, "")
		switch t.operator {
		case ',':
			for _, name := range names {
				have[name] = struct{}{}
			}
		case '!':
			for _, name := range names {
				delete(have, name)
			}
		case '&':
			both := map[string]struct{}{}
			for _, name := range names {
				if _, is := have[name]; is {
					both[name] = struct{}{}
				}
			}
			have = both
		case '^':
			for _, name := range Of(names...).names { // each once
				if _, is := have[name]; is {
					delete(have, name)
				} else {
					have[name] = struct{}{}
				}
			}
		}
	}
	return slices.Collect(maps.Keys(have))
}
