package access

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/nodeset"
)

// An Allocation is nodes that a user has been given.
type Allocation struct {
	User  string // a name, or a number
	Nodes nodeset.Set
	End   time.Time // zero is no end
}

func (a Allocation) ended(now time.Time) bool { return !a.End.IsZero() && !now.Before(a.End) }

func number(uid uint32) string { return strconv.FormatUint(uint64(uid), 10) }

const (
	// MaxAllocations bounds a table in bytes.
	MaxAllocations = 32 << 20
	// maxNodesInAll bounds the names that all nodesets of a table expand to.
	maxNodesInAll = 4_000_000
)

// noEnd are the words for an allocation without an end: those of squeue(1), for
// a job whose end is not known, and "-".
var noEnd = map[string]bool{"-": true, "N/A": true, "NONE": true, "Unknown": true, "UNLIMITED": true}

// ParseAllocations reads a table: a line an allocation, three columns with blanks
// between them,
//
//	USER NODESET [END]
//
// where END is a time as RFC 3339 has it, "2026-11-25T18:00:00" in loc, seconds
// since 1970, or "-" for none. It is what squeue -h -t R -o "%u %N %e" prints.
// Empty lines and those that begin with "#" are passed over, and so are jobs that
// have no nodes (yet). A line that is none of these refuses the whole table: the
// error names it. name is the table's in the error.
func ParseAllocations(name string, data []byte, loc *time.Location) ([]Allocation, error) {
	if len(data) > MaxAllocations {
		return nil, fmt.Errorf("%s: more than %d bytes", name, MaxAllocations)
	}
	var all []Allocation
	sets := map[string]nodeset.Set{} // many jobs have the same nodes
	total := 0
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		f := strings.Fields(lines.Text())
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if len(f) == 1 || len(f) == 2 && isTime(f[1], loc) {
			continue // a job without nodes: squeue leaves the column empty
		}
		if len(f) > 3 {
			return nil, fmt.Errorf("%s:%d: %d columns; there must be USER NODESET [END]", name, n, len(f))
		}
		set, known := sets[f[1]]
		if !known {
			var err error
			if set, err = nodeset.Parse(f[1]); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, n, err)
			}
			sets[f[1]] = set
			if total += set.Len(); total > maxNodesInAll {
				return nil, fmt.Errorf("%s:%d: more than %d nodes in all", name, n, maxNodesInAll)
			}
		}
		a := Allocation{User: f[0], Nodes: set}
		if len(f) == 3 && !noEnd[f[2]] {
			end, err := parseEnd(f[2], loc)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, n, err)
			}
			a.End = end
		}
		all = append(all, a)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return all, nil
}

func isTime(s string, loc *time.Location) bool {
	_, err := parseEnd(s, loc)
	return noEnd[s] || err == nil && strings.Contains(s, "T")
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
	return time.Time{}, fmt.Errorf("%q is no time such as 2026-11-25T18:00:00, seconds since 1970, or -", s)
}
