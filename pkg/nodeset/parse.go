package nodeset

import (
	"fmt"
	"maps"
	"slices"
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

const (
	blanks    = " \t\r\n"
	operators = "!&^"
)

// A term is a pattern and what is done with its names: ',' adds them.
type term struct {
	operator byte
	pattern  pattern
}

// A parser reads text from pos on.
type parser struct {
	text string
	pos  int
	most int // names

	// Of the pattern that is read: a range that Slurm and ClusterShell read in two
	// ways, and whether it has what Slurm does not read, which leaves open whose
	// way is meant.
	crossing  error
	slurmless bool
}

func (p *parser) fail(at int, format string, args ...any) error {
	for i, arg := range args {
		if text, is := arg.(string); is && len(text) > MaxName {
			args[i] = text[:20] + "..." + text[len(text)-20:]
		}
	}
	return &Error{Text: p.text, Offset: at, Reason: fmt.Sprintf(format, args...)}
}

// skip passes over bytes of set.
func (p *parser) skip(set string) {
	for p.pos < len(p.text) && strings.IndexByte(set, p.text[p.pos]) >= 0 {
		p.pos++
	}
}

// terms reads the whole text. total is how many names its patterns make, which is
// at most p.most.
func (p *parser) terms() (terms []term, total int, err error) {
	for {
		operator, err := p.operator(len(terms) == 0)
		if err != nil {
			return nil, 0, err
		}
		if p.pos == len(p.text) {
			break
		}
		start := p.pos
		pat, err := p.pattern()
		if err != nil {
			return nil, 0, err
		}
		if total += pat.count(); total > p.most {
			return nil, 0, p.fail(start, "this makes more than %d names", p.most)
		}
		if n := pat.longest(); n > MaxName {
			return nil, 0, p.fail(start, "a name of %d bytes, more than %d", n, MaxName)
		}
		terms = append(terms, term{operator, pat})
	}
	if len(terms) == 0 {
		return nil, 0, p.fail(0, "the nodeset is empty (an unset variable?); to mean all nodes leave it out")
	}
	return terms, total, nil
}

// operator reads what stands between two patterns, or before the first: any number
// of blanks and commas, or one set operator, which has a pattern on both sides.
func (p *parser) operator(first bool) (byte, error) {
	p.skip(blanks)
	if p.pos == len(p.text) || strings.IndexByte(operators, p.text[p.pos]) < 0 {
		p.skip(blanks + ",")
		if p.pos == len(p.text) || strings.IndexByte(operators, p.text[p.pos]) < 0 {
			return ',', nil
		}
		first = true
	}
	operator := p.text[p.pos]
	if first {
		return 0, p.fail(p.pos, "a name is missing before %q", operator)
	}
	p.pos++
	p.skip(blanks)
	if p.pos == len(p.text) || strings.IndexByte(operators+",", p.text[p.pos]) >= 0 {
		return 0, p.fail(p.pos, "a name is missing behind %q", operator)
	}
	return operator, nil
}

// pattern reads what stands between two commas, blanks or operators.
func (p *parser) pattern() (pattern, error) {
	var pat pattern
	p.crossing, p.slurmless = nil, false
	for start := p.pos; p.pos < len(p.text); {
		c := p.text[p.pos]
		if strings.IndexByte(blanks+operators+",", c) >= 0 {
			break
		}
		switch {
		case c == '[':
			pieces, err := p.brackets(pat.digits())
			if err != nil {
				return nil, err
			}
			pat = append(pat, pieces)
		case c == ']':
			return nil, p.fail(p.pos, `"]" without "["`)
		case !nameByte(c, p.pos == start):
			return nil, p.badByte(p.pos == start)
		default:
			at := p.pos
			for p.pos < len(p.text) && nameByte(p.text[p.pos], false) {
				p.pos++
			}
			pat = append(pat, part{{first: p.text[at:p.pos], last: p.text[at:p.pos]}})
		}
	}
	if p.crossing != nil && (p.slurmless || p.text[p.pos-1] != ']') {
		return nil, p.crossing
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

// badByte refuses what no name has.
func (p *parser) badByte(first bool) error {
	char, _ := utf8.DecodeRuneInString(p.text[p.pos:])
	switch {
	case strings.ContainsRune("@*?%", char):
		return p.fail(p.pos, "a name cannot have a %q: groups and wildcards are not known here; write the names, as nodeset -f '@GROUP' of ClusterShell prints them", char)
	case first:
		return p.fail(p.pos, "a name cannot begin with %q", char)
	}
	return p.fail(p.pos, "a name cannot have a %q", char)
}

// brackets reads "[" ranges "]". before is the digits in front of it.
func (p *parser) brackets(before string) (part, error) {
	open := p.pos
	length := strings.IndexAny(p.text[open+1:], "[]")
	if length < 0 || p.text[open+1+length] == '[' {
		return nil, p.fail(open, `"[" without "]"`)
	}
	end := open + 1 + length
	var made part
	outside := p.crossing
	for p.pos = open; p.pos < end; {
		p.pos++ // the bracket or comma
		given := p.pos
		p.skip(blanks)
		start, stop := p.pos, end
		if comma := strings.IndexByte(p.text[start:end], ','); comma >= 0 {
			stop = start + comma
		}
		text := strings.TrimRight(p.text[start:stop], blanks)
		s, err := p.span(start, text, before)
		if err != nil {
			return nil, err
		}
		switch blank := start - given; {
		case start+len(text) < stop:
			p.slurmless = true
		case blank > 0:
			return nil, p.fail(given, "the blank before %[2]q is a zero for Slurm, which reads %[1]s, and nothing for ClusterShell, which reads %[2]s; leave it out",
				pad(s.first, len(s.first)+blank), s.first)
		}
		made = append(made, s)
		p.pos = stop
	}
	p.pos = end + 1
	zeros := func(s span) bool { return padded(s.first) && len(s.first) == len(s.last) }
	if p.crossing != outside && (padded(before) || before == "0") && !slices.ContainsFunc(made, zeros) {
		return nil, p.crossing
	}
	return made, nil
}

// span reads "7", "1-9" or "1-9/2", which stands at that offset and behind the
// digits before.
func (p *parser) span(at int, text, before string) (span, error) {
	bounds, step, stepped := strings.Cut(text, "/")
	first, last, ranged := strings.Cut(bounds, "-")
	last = strings.TrimLeft(last, blanks)
	if !isNumber(first) || ranged && !isNumber(last) || stepped && !isNumber(step) {
		return span{}, p.fail(at, "%q is no number and no range such as 1-9", text)
	}
	if !ranged {
		if stepped {
			return span{}, p.fail(at, "%q has a step but is no range such as 1-9/2", text)
		}
		return span{first: first, last: first}, nil
	}
	s := span{first: first, last: last, step: 1}
	var err error
	if s.from, err = strconv.ParseUint(first, 10, 63); err == nil {
		s.to, err = strconv.ParseUint(last, 10, 63)
	}
	if err == nil && stepped {
		p.slurmless = true
		s.step, err = strconv.ParseUint(step, 10, 63)
	}
	switch {
	case err != nil:
		return span{}, p.fail(at, "a number of %q is too large", text)
	case s.from > s.to:
		return span{}, p.fail(at, "the range %q ends before it begins", text)
	case s.step == 0:
		return span{}, p.fail(at, "the step of %q is 0", text)
	case len(first) == len(last), first == "0" && s.to == 0: // 0-00 is 0 for both
		return s, nil
	case len(first) < len(last) && !padded(last):
		return s, p.cross(at, s, before, stepped)
	}
	return span{}, p.widths(at, s)
}

// cross judges a range whose numbers get wider, n[8-11], and that may begin with
// zeros, n[01-100], as "scontrol show hostlist" prints it. Slurm puts what is before
// the bracket in front of each number; ClusterShell takes digits there for a part of
// the numbers, n1[8-11] for n[18-111], and wants both ends as wide as each other,
// where no other number in the brackets has zeros in front.
func (p *parser) cross(at int, s span, before string, stepped bool) error {
	if padded(s.first) && stepped {
		return p.fail(at, "\"%s-%s\" has a step and ends of different widths, which neither Slurm nor ClusterShell reads", s.first, s.last)
	}
	if before == "" {
		return nil
	}
	last := before + s.last
	p.crossing = p.fail(at, "behind the digits %[1]s the range \"%[2]s-%[3]s\" is %[1]s before each of its numbers for Slurm, %[1]s%[2]s to %[4]s, and can be meant as all from %[1]s%[2]s to %[5]s; write [%[1]s%[2]s-%[5]s], or the numbers of each width apart",
		before, s.first, s.last, last, pad(strings.TrimLeft(last, "0"), len(before+s.first)))
	return nil
}

// widths refuses a range in which zeros in front leave open which width is meant:
// Slurm takes that of the first number.
func (p *parser) widths(at int, s span) error {
	from, to := unpadded(s.first), unpadded(s.last)
	return p.fail(at, "\"%[1]s-%[4]s\" is %[1]s to %[2]s for Slurm, can be meant as %[3]s to %[4]s, and is refused by ClusterShell; write %[1]s-%[2]s or %[3]s-%[4]s",
		s.first, pad(to, len(s.first)), pad(from, len(s.last)), s.last)
}

// A pattern is what stands between two commas: parts one after the other.
type pattern []part

// A part is one text (one span), or the numbers in one pair of brackets.
type part []span

// A span is a range of numbers in the width of first, or first alone, which is
// then any text, where step is 0.
type span struct {
	first, last    string
	from, to, step uint64
}

// count is how many numbers there are.
func (s span) count() uint64 {
	if s.step == 0 {
		return 1
	}
	return (s.to-s.from)/s.step + 1
}

// count is how many names the pattern stands for, or MaxNames + 1 where it is
// more than MaxNames.
func (p pattern) count() int {
	const tooMany = MaxNames + 1
	product := uint64(1)
	for _, part := range p {
		sum := uint64(0)
		for _, s := range part {
			if sum += min(s.count(), tooMany); sum > MaxNames {
				return tooMany
			}
		}
		if product *= sum; product > MaxNames {
			return tooMany
		}
	}
	return int(product)
}

// longest is the length of the longest name, in bytes.
func (p pattern) longest() int {
	sum := 0
	for _, part := range p {
		most := 0
		for _, s := range part {
			most = max(most, len(s.first), len(s.last))
		}
		sum += most
	}
	return sum
}

// expand appends the names that begin with prefix and go on with p.
func (p pattern) expand(names []string, prefix string) []string {
	if len(p) == 0 {
		return append(names, prefix)
	}
	for _, s := range p[0] {
		if s.step == 0 {
			names = p[1:].expand(names, prefix+s.first)
			continue
		}
		for i := range s.count() {
			n := pad(strconv.FormatUint(s.from+i*s.step, 10), len(s.first))
			names = p[1:].expand(names, prefix+n)
		}
	}
	return names
}

// digits are those that the pattern surely ends with.
func (p pattern) digits() string {
	if len(p) == 0 {
		return ""
	}
	last := p[len(p)-1]
	if len(last) != 1 || last[0].step != 0 {
		return "" // numbers in brackets
	}
	text := last[0].first
	return text[len(strings.TrimRight(text, "0123456789")):]
}
