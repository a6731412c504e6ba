// Package nodeset names many nodes in few words, in the hostlist syntax of
// pdsh, Slurm and ClusterShell (see nodeset(1) and scontrol(1), "hostlist").
//
// # Syntax
//
//	n1                 one node
//	n[1-3,7]           n1 n2 n3 n7
//	n[08-10]           n08 n09 n10: zeros in front are kept
//	n[098-101]         n098 n099 n100 n101, as "scontrol show hostlist" prints it
//	r[1-2]n[1-4]       r1n1 ... r1n4 r2n1 ... r2n4
//	n[1-9/2]           every second: n1 n3 n5 n7 n9
//	a1,b[2-3]          a1 b2 b3: commas, blanks and newlines join, any number of them
//	n[1-9]!n[2-3]      the first without the second
//	n[1-5]&n[4-9]      those in both: n4 n5
//	n[1-5]^n[4-9]      those in one of them: n1 n2 n3 n6 n7 n8 n9
//
// Commas and operators are taken from left to right. A name is made of letters,
// digits, ".", "_" and "-", begins with a letter, a digit or "_", and is at most
// [MaxName] bytes long. Groups ("@all") and wildcards of ClusterShell are not part
// of it.
//
// # Meaning
//
// What Slurm ("scontrol show hostnames") and ClusterShell take in one meaning has
// that meaning; where they differ it has Slurm's. What only one of them takes is
// taken if it can mean nothing else: operators, steps, text behind brackets and
// blanks before commas there are ClusterShell's; empty elements, two brackets side
// by side and ranges as n[01-100] are Slurm's. What could mean something else is
// refused, and the error has both readings: n[01-3], n[1-003], n0[1-10], n[1, 2].
// A nodeset of no nodes is an error, not all of them.
//
// # Order
//
// Names are in natural order ([Compare]): n2 comes before n10. Numbers of
// different width are different numbers, shorter first: n1, n01, n001.
//
// # Bounds
//
// A nodeset may come from a path that anybody walks: what its names, on either side
// of operators, would expand to is counted before they are expanded, and more than
// [MaxNames] is an error.
package nodeset

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

const (
	// MaxNames is how many names one nodeset may expand to, counting those that
	// are named twice and those that are taken away again.
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

// Contains reports whether name is in the set.
func (s Set) Contains(name string) bool {
	_, found := slices.BinarySearchFunc(s.names, name, Compare)
	return found
}

// Equal reports whether both sets have the same names.
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

// Compare orders names as people do: texts by their bytes, numbers by their
// width and then by their value, so that n2 < n10 and n9 < n01. It is zero for
// equal names only.
func Compare(a, b string) int {
	for a != "" && b != "" {
		ta, na := cutNumber(a)
		tb, nb := cutNumber(b)
		if c := strings.Compare(a[:ta], b[:tb]); c != 0 {
			return c
		}
		if c := compareNumbers(a[ta:na], b[tb:nb]); c != 0 {
			return c
		}
		a, b = a[na:], b[nb:]
	}
	return cmp.Compare(len(a), len(b))
}

// compareNumbers orders numbers written in digits. No number comes first.
func compareNumbers(a, b string) int {
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

// cutNumber finds the first number in s: s[:text] is what comes before it,
// s[text:number] its digits.
func cutNumber(s string) (text, number int) {
	for text < len(s) && !isDigit(s[text]) {
		text++
	}
	number = text
	for number < len(s) && isDigit(s[number]) {
		number++
	}
	return text, number
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isNumber reports whether s is digits only.
func isNumber(s string) bool {
	text, number := cutNumber(s)
	return s != "" && text == 0 && number == len(s)
}

// padded reports whether a number is written with zeros in front.
func padded(n string) bool { return len(n) > 1 && n[0] == '0' }

// next is the number behind n, in n's width where it fits.
func next(n string) string {
	b := []byte(n)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != '9' {
			b[i]++
			return string(b)
		}
		b[i] = '0'
	}
	return "1" + string(b)
}

// pad puts zeros in front of a number that is less wide.
func pad(n string, width int) string {
	return strings.Repeat("0", max(0, width-len(n))) + n
}
