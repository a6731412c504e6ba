package nodeset

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An Error says what is wrong with a nodeset and where.
type Error struct {
	Text   string // the nodeset
	Offset int    // of the fault in Text, in bytes
	Reason string
}

func (e *Error) Error() string {
	if e.Empty() {
		return "the nodeset is empty (an unset variable?); to mean all nodes leave it out"
	}
	return fmt.Sprintf("bad nodeset %q, at character %d: %s", e.Text, e.Offset+1, e.Reason)
}

// Empty reports whether nothing at all was given where a nodeset must be: a text
// of blanks, as of a shell's variable that is not set.
func (e *Error) Empty() bool { return strings.TrimSpace(e.Text) == "" }

// Parse returns the set that text stands for. An error is an [*Error].
func Parse(text string) (Set, error) {
	names, err := Expand(text)
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
// named twice twice. An error is an [*Error].
func Expand(text string) ([]string, error) {
	p := parser{text: text}
	total := 0
	var patterns []pattern
	for {
		start := p.skipBlanks()
		pat, err := p.pattern()
		if err != nil {
			return nil, err
		}
		if total += pat.count(); total > MaxNames {
			return nil, p.fail(start, "this makes more than %d names", MaxNames)
		}
		if n := pat.longest(); n > MaxName {
			return nil, p.fail(start, "a name of %d bytes, more than %d", n, MaxName)
		}
		patterns = append(patterns, pat)
		p.skipBlanks()
		if p.pos == len(text) {
			break
		}
		if text[p.pos] != ',' {
			return nil, p.fail(p.pos, "a comma is missing")
		}
		p.pos++
	}
	names := make([]string, 0, total)
	for _, pat := range patterns {
		names = pat.expand(names, "")
	}
	return names, nil
}

// A parser reads text from pos on.
type parser struct {
	text string
	pos  int
}

func (p *parser) fail(at int, format string, args ...any) error {
	return &Error{Text: p.text, Offset: at, Reason: fmt.Sprintf(format, args...)}
}

func (p *parser) skipBlanks() int {
	for p.pos < len(p.text) && (p.text[p.pos] == ' ' || p.text[p.pos] == '\t') {
		p.pos++
	}
	return p.pos
}

// pattern reads what stands between two commas.
func (p *parser) pattern() (pattern, error) {
	var pat pattern
	for start := p.pos; p.pos < len(p.text); {
		switch c := p.text[p.pos]; {
		case c == '[':
			pieces, err := p.brackets()
			if err != nil {
				return nil, err
			}
			pat = append(pat, pieces)
		case c == ']':
			return nil, p.fail(p.pos, `"]" without "["`)
		case c == ',' || c == ' ' || c == '\t':
			return p.named(pat)
		case !nameByte(c, p.pos == start):
			char, _ := utf8.DecodeRuneInString(p.text[p.pos:])
			if p.pos == start {
				return nil, p.fail(p.pos, "a name cannot begin with %q", char)
			}
			return nil, p.fail(p.pos, "a name cannot have a %q", char)
		default:
			at := p.pos
			for p.pos < len(p.text) && nameByte(p.text[p.pos], false) {
				p.pos++
			}
			pat = append(pat, part{{first: p.text[at:p.pos], last: p.text[at:p.pos]}})
		}
	}
	return p.named(pat)
}

// named refuses a pattern of nothing.
func (p *parser) named(pat pattern) (pattern, error) {
	if len(pat) == 0 {
		return nil, p.fail(p.pos, "a name is missing")
	}
	return pat, nil
}

func nameByte(c byte, first bool) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', isDigit(c), c == '_':
		return true
	}
	return !first && (c == '.' || c == '-')
}

// brackets reads "[" ranges "]".
func (p *parser) brackets() (part, error) {
	open := p.pos
	length := strings.IndexAny(p.text[open+1:], "[]")
	if length < 0 || p.text[open+1+length] == '[' {
		return nil, p.fail(open, `"[" without "]"`)
	}
	end := open + 1 + length
	var made part
	for p.pos = open; p.pos < end; {
		p.pos++ // the bracket or comma
		start := p.skipBlanks()
		stop := end
		if comma := strings.IndexByte(p.text[start:end], ','); comma >= 0 {
			stop = start + comma
		}
		s, err := p.span(start, strings.TrimRight(p.text[start:stop], " \t"))
		if err != nil {
			return nil, err
		}
		made = append(made, s)
		p.pos = stop
	}
	p.pos = end + 1
	return made, nil
}

// span reads "7", "1-9" or "1-9/2", which stands at that offset.
func (p *parser) span(at int, text string) (span, error) {
	bounds, step, stepped := strings.Cut(text, "/")
	first, last, ranged := strings.Cut(bounds, "-")
	if !isNumber(first) || ranged && !isNumber(last) || stepped && !isNumber(step) {
		return span{}, p.fail(at, "%q is no number and no range such as 1-9", text)
	}
	if !ranged {
		if stepped {
			return span{}, p.fail(at, "%q has a step but is no range such as 1-9/2", text)
		}
		return span{first: first, last: first}, nil
	}
	if len(first) != len(last) && (padded(first) || padded(last)) {
		return span{}, p.fail(at, "the numbers of %q have zeros in front and different widths", text)
	}
	s := span{first: first, last: last, step: 1}
	var err error
	if s.from, err = strconv.ParseUint(first, 10, 63); err == nil {
		s.to, err = strconv.ParseUint(last, 10, 63)
	}
	if err == nil && stepped {
		s.step, err = strconv.ParseUint(step, 10, 63)
	}
	switch {
	case err != nil:
		return span{}, p.fail(at, "a number of %q is too large", text)
	case s.from > s.to:
		return span{}, p.fail(at, "the range %q ends before it begins", text)
	case s.step == 0:
		return span{}, p.fail(at, "the step of %q is 0", text)
	}
	return s, nil
}
