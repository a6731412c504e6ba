package nodeset

import (
	"math"
	"strconv"
	"strings"

	"github.com/aggrfs/aggrfs/internal/spelling"
)

// Nearest is the name of among that name was probably meant to be, or "": one
// with the same numbers in another width, n012 for n12, before one with another
// letter or digit, and of those the one whose number is nearest, n128 for n129.
func Nearest(name string, among []string) string {
	if len(name) > MaxName {
		return ""
	}
	for _, other := range among {
		if unpadded(other) == unpadded(name) {
			return other
		}
	}
	best := spelling.Nearest(name, among)
	if next := neighbour(name, among); best != "" && next != "" {
		best = spelling.Nearest(name, []string{next, best}) // the first of those that are as near
	}
	return best
}

// neighbour is the name of among that differs from name in its last number only, by
// as little as any, or "".
func neighbour(name string, among []string) (best string) {
	before, number, behind, ok := lastNumber(name)
	if !ok {
		return ""
	}
	least := uint64(math.MaxUint64)
	for _, other := range among {
		b, n, t, ok := lastNumber(other)
		if by := max(n, number) - min(n, number); ok && b == before && t == behind && by < least {
			best, least = other, by
		}
	}
	return best
}

// lastNumber splits a name at its last number.
func lastNumber(name string) (before string, number uint64, behind string, ok bool) {
	end := strings.LastIndexAny(name, "0123456789") + 1
	before = strings.TrimRight(name[:end], "0123456789")
	number, err := strconv.ParseUint(name[len(before):end], 10, 64)
	return before, number, name[end:], err == nil
}

// unpadded is name without the zeros in front of its numbers.
func unpadded(name string) string {
	var b strings.Builder
	for name != "" {
		text, number := cutNumber(name)
		b.WriteString(name[:text])
		digits := strings.TrimLeft(name[text:number], "0")
		if digits == "" && text < number {
			digits = "0"
		}
		b.WriteString(digits)
		name = name[number:]
	}
	return b.String()
}

// Unknown says which names of the set are not among those known, with what the first
// of them was probably meant to be: "n[130-131] (did you mean n013?)". It is "" if all
// are known.
func (s Set) Unknown(known Set) string {
	unknown := s.Minus(known)
	if unknown.Len() == 0 {
		return ""
	}
	text := unknown.String()
	if near := Nearest(unknown.names[0], known.names); near != "" {
		text += " (did you mean " + near + "?)"
	}
	return text
}
