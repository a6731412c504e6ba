// Package nodeset names many nodes in few words, in the hostlist syntax of
// pdsh, Slurm and ClusterShell (see nodeset(1) and scontrol(1), "hostlist").
//
// # Syntax
//
//	n1                 one node
//	n[1-3,7]           n1 n2 n3 n7
//	n[08-10]           n08 n09 n10: zeros in front are kept
//	r[1-2]n[1-4]       r1n1 ... r1n4 r2n1 ... r2n4
//	n[1-9/2]           every second: n1 n3 n5 n7 n9
//	a1,b[2-3]          a1 b2 b3: a comma joins
//
// A name is made of letters, digits, ".", "_" and "-", begins with a letter, a
// digit or "_", and is at most [MaxName] bytes long. Blanks may stand around
// commas. Groups ("@all") and the set operators of ClusterShell ("!", "&", "^")
// are not part of it.
//
// # Order
//
// Names are in natural order ([Compare]): n2 comes before n10. Numbers of
// different width are different numbers, shorter first: n1, n01, n001.
//
// # Bounds
//
// A nodeset may come from a path that anybody walks: what it would expand to is
// counted before it is expanded, and more than [MaxNames] is an error.
package nodeset

import (
	"iter"
	"slices"
)

const (
	// MaxNames is how many names one nodeset may expand to, counting those that
	// are named twice.
	MaxNames = 100_000
	// MaxName is the longest name in bytes: "<name>:<pid>", with a pid of up to
	// ten digits, is a file name (255 bytes).
	MaxName = 255 - 1 - 10
)

// A Set is a set of names. It never changes; the zero Set is empty. All methods
// may be called concurrently.
type Set struct {
	names []string // in the order of Compare, each once
}

// Of returns the set of these names, which are taken as they are: they need not
// be in nodeset syntax.
func Of(names ...string) Set {
	sorted := slices.Clone(names)
	slices.SortFunc(sorted, Compare)
	return Set{slices.Compact(sorted)}
}

// Names returns the names in order. The slice is the caller's.
func (s Set) Names() []string { return slices.Clone(s.names) }

// All yields the names in order.
func (s Set) All() iter.Seq[string] { return slices.Values(s.names) }

// Len is how many names there are.
func (s Set) Len() int { return len(s.names) }

// Contains tells whether name is in the set.
func (s Set) Contains(name string) bool {
	_, found := slices.BinarySearchFunc(s.names, name, Compare)
	return found
}

// Equal tells whether both sets have the same names.
func (s Set) Equal(o Set) bool { return slices.Equal(s.names, o.names) }

// Minus returns the set of the names that are in s and not in o. It may be empty,
// which is not all nodes: who names nodes for somebody says so and stops there.
func (s Set) Minus(o Set) Set {
	if len(o.names) == 0 {
		return s
	}
	return Set{slices.DeleteFunc(slices.Clone(s.names), o.Contains)}
}

// Union returns the set of the names that are in s or in o.
func (s Set) Union(o Set) Set {
	switch {
	case len(o.names) == 0:
		return s
	case len(s.names) == 0:
		return o
	}
	joined := make([]string, 0, len(s.names)+len(o.names))
	a, b := s.names, o.names
	for len(a) > 0 && len(b) > 0 {
		switch c := Compare(a[0], b[0]); {
		case c < 0:
			joined, a = append(joined, a[0]), a[1:]
		case c > 0:
			joined, b = append(joined, b[0]), b[1:]
		default:
			joined, a, b = append(joined, a[0]), a[1:], b[1:]
		}
	}
	return Set{append(append(joined, a...), b...)}
}
