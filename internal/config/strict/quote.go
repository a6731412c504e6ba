package strict

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// A nodeset and a pattern have characters that YAML has another use for: it takes
// the bracket of {nodes: n[1-3]} for a list that begins where none can be, and the
// asterisk of "users: *" for an alias. The parser gives up at the first of them, and
// what else is wrong in the file stays unknown. So where it gives up, such texts are
// looked for and noted, each with what to write, and the file is parsed again with
// stand-ins for these characters. So it is with a text that YAML takes for a tag or an
// anchor of what comes behind it, "nodes: !n2": neither is taken in a configuration.

const (
	indicators = "[]{},*@%`&!"
	firstOfAll = '\ue000' // the stand-in for the first of indicators; the others follow
)

var restore = func() *strings.Replacer {
	var pairs []string
	for i := range len(indicators) {
		pairs = append(pairs, string(rune(firstOfAll+i)), indicators[i:i+1])
	}
	return strings.NewReplacer(pairs...)
}()

// restored is a visitor that gives texts their own characters again.
type restored struct{}

func (r restored) Visit(n ast.Node) ast.Visitor {
	if text, is := n.(*ast.StringNode); is {
		text.Value = restore.Replace(text.Value)
	}
	return r
}

// marked reports whether a file has a tag or an anchor. The parser drops some, so the
// lexer is asked; it drops one at the end of the last line unless that is ended.
func marked(text string) bool {
	if !strings.ContainsAny(text, "&!") {
		return false
	}
	return slices.ContainsFunc(lexer.Tokenize(text+"\n"), func(t *token.Token) bool { return t.Type == token.TagType || t.Type == token.AnchorType })
}

// quoteMissing notes each text that lacks quotes and returns the file with stand-ins;
// false if none does.
func (d *Document) quoteMissing() (text string, some bool) {
	s := scanner{doc: d, literal: -1}
	lines := slices.Clone(d.lines)
	for i, line := range lines {
		if strings.ContainsFunc(line, func(r rune) bool { return firstOfAll <= r && r < firstOfAll+rune(len(indicators)) }) {
			return "", false
		}
		s.number, s.line, s.pos = i+1, []rune(line), 0
		s.scan()
		lines[i] = string(s.line)
	}
	return strings.Join(lines, "\n"), s.found
}

// A scanner goes through a file as far as is needed to tell where a text begins that
// is in no quotes. It need not be right about everything: it is asked only about a
// file that is refused anyway.
type scanner struct {
	doc    *Document
	number int // of the line
	line   []rune
	pos    int
	found  bool

	depth   int    // brackets that are open
	quote   rune   // that is open
	literal int    // the indentation of the key whose block of text this is, or -1
	key     string // whose value is next
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' }

// at is the rune at an index of the line, or a blank where it has ended.
func (s *scanner) at(i int) rune {
	if i < len(s.line) {
		return s.line[i]
	}
	return ' '
}

func (s *scanner) scan() {
	indent := 0
	for isBlank(s.at(indent)) && indent < len(s.line) {
		indent++
	}
	if s.literal >= 0 && (indent == len(s.line) || indent > s.literal) {
		return
	}
	s.literal = -1
	if s.quote != 0 {
		s.skipQuoted()
	} else if s.at(indent) == '-' && isBlank(s.at(indent+1)) {
		s.depth = 0 // an item of a block: what was open has not been closed
	}
	for s.pos < len(s.line) {
		c := s.line[s.pos]
		switch {
		case isBlank(c):
			s.pos++
		case c == '#' && (s.pos == 0 || isBlank(s.line[s.pos-1])), c == '%' && s.pos == 0:
			return // a comment, or a directive
		case c == '"' || c == '\'':
			s.quote = c
			s.pos++
			s.skipQuoted()
		case s.depth == 0 && (c == '-' || c == '?') && isBlank(s.at(s.pos+1)):
			s.pos, s.key = s.pos+1, ""
			indent = s.pos
		case s.depth == 0 && (c == '|' || c == '>'):
			s.literal = indent
			return
		case s.depth > 0 && c == ',', c == ':' && isBlank(s.at(s.pos+1)):
			s.pos++
		case s.depth > 0 && (c == ']' || c == '}'):
			s.depth--
			s.pos++
		case (c == '{' || c == '[') && !s.numbers():
			s.depth++
			s.pos, s.key = s.pos+1, ""
		default:
			s.plain()
		}
	}
}

func (s *scanner) skipQuoted() {
	for ; s.pos < len(s.line); s.pos++ {
		switch c := s.line[s.pos]; {
		case c == '\\' && s.quote == '"':
			s.pos++
		case c == s.quote:
			s.quote = 0
			s.pos++
			return
		}
	}
}

// numbers reports whether the bracket here is that of a nodeset such as [1-3]x.
func (s *scanner) numbers() bool {
	end := s.closing(s.pos)
	return end > 0 && strings.Trim(string(s.line[s.pos+1:end]), "0123456789-,/") == "" &&
		!isBlank(s.at(end+1)) && !strings.ContainsRune(",]}:", s.at(end+1))
}

// closing is where the bracket at an index is closed on this line, without another in
// between or a key, or 0.
func (s *scanner) closing(from int) int {
	end := slices.IndexFunc(s.line[from+1:], func(r rune) bool { return strings.ContainsRune("[]{}", r) })
	if end += from + 1; end > from && s.line[end] == s.line[from]+2 && !strings.Contains(string(s.line[from:end]), ": ") {
		return end
	}
	return 0
}

// plain reads a text in no quotes, from its first character on.
func (s *scanner) plain() {
	start := s.pos
	brackets := s.line[start] == '['
scan:
	for ; s.pos < len(s.line); s.pos++ {
		switch c := s.line[s.pos]; {
		case c == ':' && isBlank(s.at(s.pos+1)), c == '#' && s.pos > start && isBlank(s.line[s.pos-1]):
			break scan
		case s.depth == 0 && s.pos > start:
		case c == '[' || c == '{':
			s.pos, brackets = max(s.pos, s.closing(s.pos)), true
		case s.depth > 0 && (c == ',' && !(brackets && s.joins()) || c == ']' || c == '}'):
			break scan
		}
	}
	text := strings.TrimRight(string(s.line[start:s.pos]), " \t")
	if brackets || hasIndicator(text) {
		s.fail(start, text)
	}
	if s.at(s.pos) == ':' {
		s.key = text
	}
}

// hasIndicator reports whether a text begins with what YAML has another use for. A tag or
// an anchor with something behind it on its line is probably meant to be one.
func hasIndicator(text string) bool {
	switch c := text[0]; c {
	case '&', '!':
		return len(text) > 1 && text[1] != c && !strings.ContainsAny(text, " \t")
	default:
		return strings.IndexByte("*@%`", c) >= 0
	}
}

// joins reports whether the comma here joins one more name to a nodeset, rather than
// ending it: no blank is behind it, and what comes is no key.
func (s *scanner) joins() bool {
	for i := s.pos + 1; ; i++ {
		switch c := s.at(i); {
		case isBlank(c):
			return i > s.pos+1 && s.line[i-1] != ':'
		case strings.ContainsRune(",]}", c):
			return i > s.pos+1
		}
	}
}

// fail notes that a text needs quotes and puts stand-ins into it.
func (s *scanner) fail(start int, text string) {
	s.found = true
	quoted := `"` + text + `"`
	if strings.ContainsAny(text, `"\`) {
		quoted = "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	if s.key != "" {
		quoted = s.key + ": " + quoted
	}
	why := "to YAML its brackets are a list or keys and values"
	if hasIndicator(text) {
		why = fmt.Sprintf("YAML has another use for a %q in front", s.line[start])
	}
	s.doc.fail(s.number, start+1, fmt.Sprintf("quote it: %s (%s)", quoted, why))
	for i := start; i < start+len([]rune(text)); i++ {
		if at := strings.IndexRune(indicators, s.line[i]); at >= 0 {
			s.line[i] = firstOfAll + rune(at)
		}
	}
}
