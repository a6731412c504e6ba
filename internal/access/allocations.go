package access

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// An Allocation is nodes that a user has been given.
type Allocation struct {
	User  string // a name, or a number
	Nodes nodeset.Set
	End   time.Time // zero is no end
	Line  int       // of the table
}

func (a Allocation) ended(now time.Time) bool { return !a.End.IsZero() && !now.Before(a.End) }

func number(uid uint32) string { return strconv.FormatUint(uint64(uid), 10) }

// A Table is what a source of allocations said at one moment.
type Table struct {
	Allocations []Allocation
	// Waiting is how many jobs are listed that have no nodes (yet).
	Waiting int
	// Bad are the lines that are neither. What they allocate is not known.
	Bad Mistakes
}

// Mistakes are lines that could not be understood.
type Mistakes struct {
	Count int
	First Mistake // of the lowest line
}

// A Mistake is one of them.
type Mistake struct {
	Line   int
	Text   string // its beginning, as it came: to be escaped
	Reason string
}

// String says what is wrong where. The text in it is quoted.
func (m Mistake) String() string { return fmt.Sprintf("line %d %q: %s", m.Line, m.Text, m.Reason) }

const (
	// MaxAllocations bounds a table in bytes.
	MaxAllocations = 32 << 20
	// maxNodesInAll bounds the names that all nodesets of a table expand to.
	maxNodesInAll = 4_000_000
	// maxMistake bounds what is shown of a line, in bytes.
	maxMistake = 100
)

// noEnd are the words, in capitals, for an allocation whose end is not known or that
// has none. Those of squeue(1) %e are NONE (a time limit of UNLIMITED), "Unknown" and,
// of newer ones, "None" (no end yet); N/A, NOT_SET and UNLIMITED are what other Slurm
// commands print of times.
var noEnd = map[string]bool{"-": true, "N/A": true, "NONE": true, "NOT_SET": true, "UNKNOWN": true, "UNLIMITED": true}

func isNoEnd(word string) bool { return noEnd[strings.ToUpper(word)] }

// ParseAllocations reads a table: a line an allocation, three columns with blanks
// between them,
//
//	USER NODESET [END]
//
// where END is a time as RFC 3339 has it, "2026-11-25T18:00:00" in loc, seconds
// since 1970, or "-" for none. It is what squeue --noheader --format="%u %N %e"
// prints. Empty lines and those that begin with "#" are passed over. A job without
// nodes has an empty second column, or one in brackets, as squeue's %N and %R have it:
// "(null)", "(Priority)".
//
// Any other line is a mistake that costs itself alone. Only a table none of whose
// lines is understood is refused as a whole, as is one that is too long: what it meant
// is not known. One without a line says that nobody has anything. name is the table's
// in the error.
func ParseAllocations(name string, data []byte, loc *time.Location) (Table, error) {
	if len(data) > MaxAllocations {
		return Table{}, fmt.Errorf("%s: more than %d bytes", name, MaxAllocations)
	}
	var t Table
	p := lineParser{loc: loc, sets: map[string]nodeset.Set{}}
	n := 0
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // a byte order mark, as some editors write
	for raw := range bytes.Lines(data) {
		n++
		text := strings.TrimSpace(string(raw))
		if text == "" || text[0] == '#' {
			continue
		}
		a, err := p.line(strings.Fields(text))
		switch {
		case errors.Is(err, errWaiting):
			t.Waiting++
		case err != nil:
			if t.Bad.Count++; t.Bad.Count == 1 {
				t.Bad.First = Mistake{n, text[:min(len(text), maxMistake)], err.Error()}
			}
		default:
			a.Line = n
			t.Allocations = append(t.Allocations, a)
		}
	}
	if t.Bad.Count > 0 && t.Waiting+len(t.Allocations) == 0 {
		return Table{}, &BadTable{name, t.Bad}
	}
	return t, nil
}

// A BadTable is a table in which nothing is understood.
type BadTable struct {
	Name string // the table's
	Bad  Mistakes
}

func (e *BadTable) Error() string {
	return fmt.Sprintf("%s: none of its lines is understood (%d in all); %v", e.Name, e.Bad.Count, e.Bad.First)
}

// errWaiting is a line about a job that has no nodes.
var errWaiting = errors.New("a job without nodes")

// A lineParser reads the lines of one table.
type lineParser struct {
	loc   *time.Location
	sets  map[string]nodeset.Set // many jobs have the same nodes
	total int                    // names in all of them
}

// columns is what all lines must have.
const columns = "there must be USER NODESET [END]"

// line reads the fields of a line, of which there is at least one.
func (p *lineParser) line(f []string) (a Allocation, err error) {
	switch {
	case f[0] == "USER" && (len(f) == 1 || strings.HasPrefix(f[1], "NODELIST")):
		return a, errors.New("this is the header of squeue: leave it out with --noheader")
	case strings.ContainsAny(f[0], "()/:*"):
		return a, fmt.Errorf("%.40q is no user; %s", f[0], columns)
	case len(f) == 1:
		return a, errWaiting
	case f[1][0] == '(':
		return a, withoutNodes(f[1:])
	case len(f) == 2 && (isNoEnd(f[1]) || p.isTime(f[1])):
		return a, errWaiting // squeue leaves the column empty
	case len(f) > 3:
		return a, fmt.Errorf("%d columns; %s%s", len(f), columns, relativeHint(f[2]))
	}
	a.User = f[0]
	if len(f) == 3 && !isNoEnd(f[2]) {
		if a.End, err = parseEnd(f[2], p.loc); err != nil {
			return a, err
		}
	}
	a.Nodes, err = p.nodes(f[1])
	return a, err
}

// withoutNodes is a job in whose second column, which begins with f[0], is why it has
// no nodes.
func withoutNodes(f []string) error {
	for i, word := range f {
		if !strings.HasSuffix(word, ")") {
			continue
		}
		if len(f)-i > 2 { // more than the end behind it
			return fmt.Errorf("%d columns behind %q; %s", len(f)-i-1, word, columns)
		}
		return errWaiting
	}
	return fmt.Errorf("%.40q has no closing bracket", f[0])
}

func (p *lineParser) nodes(text string) (nodeset.Set, error) {
	if set, known := p.sets[text]; known {
		return set, nil
	}
	set, err := nodeset.Parse(text)
	switch {
	case err != nil:
		return set, err
	case set.Len() == 0:
		return set, fmt.Errorf("there is no node in %.40q", text)
	case p.total+set.Len() > maxNodesInAll:
		return set, fmt.Errorf("more than %d nodes in all lines", maxNodesInAll)
	}
	p.total += set.Len()
	p.sets[text] = set
	return set, nil
}

func (p *lineParser) isTime(s string) bool {
	_, err := parseEnd(s, p.loc)
	return err == nil && strings.Contains(s, "T")
}

// parseEnd reads the end of an allocation.
func parseEnd(s string, loc *time.Location) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if t, err := time.ParseInLocation("2006-01-02T15:04:05", s, loc); err == nil {
		return t, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 && n < 1<<40 {
		return time.Unix(n, 0), nil
	}
	return time.Time{}, fmt.Errorf("%.40q is no time such as 2026-11-25T18:00:00, seconds since 1970, or -%s", s, relativeHint(s))
}

// relativeHint is what makes squeue print times that say no day: "16:00:00",
// "Tomorr 09:00" and "Sat 02:17" are those of SLURM_TIME_FORMAT=relative; of %L, the
// time that is left, they look alike.
func relativeHint(word string) string {
	day, err := time.Parse("Mon", word)
	if _, clock := time.Parse("15:04:05", word); clock == nil || err == nil && !day.IsZero() || word == "Tomorr" || word == "Ystday" {
		return " (squeue's %e with SLURM_TIME_FORMAT=standard prints the day)"
	}
	return ""
}
