package strict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// An Error is one fault of a file.
type Error struct {
	File    string
	Line    int // from 1 on; 0 is the file as a whole
	Column  int // from 1 on, in characters
	Source  string
	Message string
}

// Error writes the place, the message, the line and a caret below the place:
//
//	aggrfs.yaml:3:8: unknown key "cahce"; did you mean "cache"?
//	  cahce: 1s
//	  ^
func (e Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Message)
	}
	source, caret := excerpt(e.Source, e.Column-1)
	return fmt.Sprintf("%s:%d:%d: %s\n  %s\n  %s", e.File, e.Line, e.Column, e.Message, source, caret)
}

// excerpt is a line, cut to a width that terminals have and without what they
// obey, and the line for below it with a caret under the character at that
// index.
func excerpt(line string, at int) (source, caret string) {
	const width, before = 100, 60 // characters
	runes := []rune(line)
	at = min(max(at, 0), len(runes))
	if len(runes) > width {
		from := max(0, min(at-before, len(runes)-width))
		runes, at = runes[from:from+width], at-from
	}
	for i, r := range runes {
		if r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 {
			runes[i] = ' '
		}
	}
	return string(runes), strings.Repeat(" ", at) + "^"
}

// Errors is all faults of a file, in its order.
type Errors []Error

// Error has one fault after the other, each as Error.Error writes it.
func (e Errors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "\n")
}

// Unwrap makes each fault findable by errors.As.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, one := range e {
		list[i] = one
	}
	return list
}

func (e Errors) sorted() Errors {
	sorted := slices.Clone(e)
	slices.SortStableFunc(sorted, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return sorted
}
