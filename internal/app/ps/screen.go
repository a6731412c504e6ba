package ps

import (
	"io"
	"os"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// A screen is what a table is shown on. The zero screen is no terminal: what reads it may be a
// program, which gets lines whole, and times that do not depend on where it runs.
type screen struct {
	terminal bool
	width    int // in cells; 0 is without end
}

// screenOf is what is behind out.
func screenOf(out io.Writer) screen {
	if !isTerminal(out) {
		return screen{}
	}
	s := screen{terminal: true}
	if size, err := unix.IoctlGetWinsize(int(out.(*os.File).Fd()), unix.TIOCGWINSZ); err == nil {
		s.width = int(size.Col)
	}
	return s
}

// isTerminal reports whether what is written there is for somebody to look at.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// localTime is how times stand on a terminal, in the zone of who looks at it.
const localTime = "2006-01-02 15:04:05"

// columns are the columns as they stand there.
func (s screen) columns(columns []report.ProcessColumn) []report.ProcessColumn {
	if !s.terminal {
		return columns
	}
	columns = slices.Clone(columns)
	for i := range columns {
		if columns[i].Name == report.StartColumn {
			columns[i].Append = func(b []byte, p *report.Process) []byte {
				return p.Start.In(time.Local).AppendFormat(b, localTime)
			}
		}
	}
	return columns
}

// cut cuts the last line of text, which begins at start, at the edge.
func (s screen) cut(text []byte, start int) []byte {
	if s.width == 0 || len(text)-start <= s.width {
		return text
	}
	cells := 0
	for at := start; at < len(text); {
		r, n := utf8.DecodeRune(text[at:])
		if cells += cellsOf(r); cells > s.width {
			return append(text[:at], '\n')
		}
		at += n
	}
	return text
}

// cellsOf is how many cells a character takes that is printed: the line's end none, nor what is
// set on the one before, and two those of scripts with wide characters. One that is taken for
// wide and is not makes the line shorter than it need be, never longer.
func cellsOf(r rune) int {
	switch {
	case r == '\n', unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case r < 0x1100:
		return 1
	case r < 0x1160, r >= 0x2300 && r <= 0x27ff, r >= 0x2b00 && r <= 0x2bff, r >= 0x2e80 && r <= 0xd7ff,
		r >= 0xf900 && r <= 0xfaff, r >= 0xfe10 && r <= 0xfe6f, r >= 0xff00 && r <= 0xffe6, r >= 0x16fe0:
		return 2
	}
	return 1
}
