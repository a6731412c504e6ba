package report

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
)

// AllocationsState is how the source of allocations is, in a word.
func AllocationsState(s *access.SourceState) string {
	switch {
	case s.Over:
		return "lost"
	case s.Err != nil && s.Read.IsZero():
		return "failing"
	case s.Err != nil:
		return "stale"
	case s.Read.IsZero():
		return "starting"
	case s.Bad.Count > 0:
		return "mistakes"
	case len(s.Unknown) > 0:
		return "unknown"
	}
	return "ok"
}

// AllocationsText says how old the allocations in force are, and why, and what was not
// understood in them. What the source printed is shown only to who sees everything:
// it may be about others.
func AllocationsText(s *access.SourceState, now time.Time, whole bool) string {
	var parts []string
	switch {
	case s.Over:
		parts = append(parts, "nothing is allocated any more")
	case s.Read.IsZero():
		parts = append(parts, "none yet")
	default:
		parts = append(parts, Span(now.Sub(s.Read))+" old")
	}
	var bad *access.BadTable
	switch {
	case errors.As(s.Err, &bad):
		parts[0] += " (the newest table is not understood: " + mistake(bad.Bad.First, whole) + ")"
	case s.Err != nil && whole:
		parts = append(parts, s.Err.Error())
	case s.Err != nil:
		parts = append(parts, s.Brief())
	}
	if whole && s.Err == nil && !s.Read.IsZero() {
		parts = append(parts, fmt.Sprintf("%d rows", s.Count))
		if s.Waiting > 0 {
			parts = append(parts, fmt.Sprintf("%d without nodes", s.Waiting))
		}
	}
	if n := s.Bad.Count; n > 0 && s.Err == nil {
		parts = append(parts, fmt.Sprintf("%d lines not understood, the first %s", n, mistake(s.Bad.First, whole)))
	}
	if len(s.Unknown) > 0 && whole {
		parts = append(parts, "not in the user database: "+strings.Join(s.Unknown, ", "))
	}
	text := strings.Join(parts, ", ")
	// What was not understood in an older table is no part of why there is no newer one.
	if n := s.Bad.Count; n > 0 && s.Err != nil && !s.Over {
		text += fmt.Sprintf("; of the one in use %d lines are passed over", n)
	}
	return text
}

// mistake is a line that was not understood.
func mistake(m access.Mistake, whole bool) string {
	if whole {
		return m.String()
	}
	return fmt.Sprintf("line %d", m.Line)
}

// Span is a time in the unit that says enough of it.
func Span(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 2*24*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// An Allocation is a row of cluster/allocations: nodes that a scheduler has given to a user.
type Allocation struct {
	User  string    `column:"USER,required"`
	Nodes string    `column:"NODES"` // a nodeset
	Count int       `column:"COUNT"` // of its nodes
	End   time.Time `column:"END"`
}
