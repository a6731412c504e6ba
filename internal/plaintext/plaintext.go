// Package plaintext writes tables that people and awk can read: one record a
// line, columns aligned by spaces.
//
// What stands in the cells comes from processes and from other machines, and
// may hold newlines and terminal escape sequences. Each cell is escaped as the
// kernel escapes the name in /proc/<pid>/status ("\n", "\\", other control
// bytes as three octal digits), so that a record is a line and nothing steers
// the terminal.
package plaintext

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Escape makes s safe to show: control characters, invalid UTF-8 and
// backslashes are escaped.
func Escape(s string) string {
	clean := true
	for _, r := range s {
		if r == '\\' || r == utf8.RuneError || !unicode.IsPrint(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\\':
			b.WriteString(`\\`)
		case r == utf8.RuneError && n == 1, !unicode.IsPrint(r):
			for _, c := range []byte(s[i : i+n]) {
				fmt.Fprintf(&b, `\%03o`, c)
			}
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// Unescape is the reverse of Escape. What Escape does not write may stay as it is.
func Unescape(s string) string {
	var b []byte
	for at := strings.IndexByte(s, '\\'); at >= 0; at = strings.IndexByte(s, '\\') {
		c, isRune, rest, err := strconv.UnquoteChar(s[at:], 0)
		if err != nil || isRune {
			c, rest = '\\', s[at+1:]
		}
		b, s = append(append(b, s[:at]...), byte(c)), rest
	}
	if b == nil {
		return s
	}
	return string(append(b, s...))
}

// Cell is s as it stands in a column that is not the last: escaped, one word, and "-" where
// it is empty.
func Cell(s string) string {
	if s == "" {
		return "-"
	}
	return strings.ReplaceAll(Escape(s), " ", `\040`)
}

// FromCell is what stands in a cell, "" for "-".
func FromCell(cell string) string {
	if cell == "-" {
		return ""
	}
	return Unescape(cell)
}

// Table lays rows out in columns, two spaces between them. Rows may differ in
// length. An empty cell shows as "-", so that fields can be counted; only the
// last column may contain spaces.
func Table(rows [][]string) []byte {
	var widths []int
	cells := make([][]string, len(rows))
	for i, row := range rows {
		cells[i] = make([]string, len(row))
		for k, cell := range row {
			if cell == "" || k < len(row)-1 {
				cell = Cell(cell)
			} else {
				cell = Escape(cell)
			}
			cells[i][k] = cell
			if k == len(widths) {
				widths = append(widths, 0)
			}
			widths[k] = max(widths[k], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range cells {
		for k, cell := range row {
			b.WriteString(cell)
			if k < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[k]-utf8.RuneCountInString(cell)+2))
			}
		}
		b.WriteByte('\n')
	}
	return []byte(b.String())
}
