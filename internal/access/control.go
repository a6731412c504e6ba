package access

import (
	"slices"
	"strings"
)

// Control is what a rule lets its requester do to processes. The zero Control is nothing. What the
// kernel of a node would refuse it refuses all the same.
type Control struct {
	All   bool     // to all processes that the requester sees
	Own   bool     // to those that the requester runs
	Kinds []string // of actions; nil is every kind
}

// None reports whether nothing may be done.
func (c Control) None() bool { return !c.All && !c.Own }

// Allows reports whether actions of a kind may be done; "" is those that only read.
func (c Control) Allows(kind string) bool {
	return !c.None() && (kind == "" || c.Kinds == nil || slices.Contains(c.Kinds, kind))
}

// String is for people.
func (c Control) String() string {
	whose := "none"
	switch {
	case c.All:
		whose = "all"
	case c.Own:
		whose = "own"
	}
	if c.Kinds == nil || c.None() {
		return whose
	}
	return whose + ": " + strings.Join(c.Kinds, " ")
}

// Control is what may be done to processes of the scope.
func (s *Scope) Control() Control { return s.control }
