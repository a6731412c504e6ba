package nodeset

import (
	"strconv"
	"strings"
)

// A pattern is what stands between two commas: parts one after the other.
type pattern []part

// A part is one text (one span), or the numbers in one pair of brackets.
type part []span

// A span is a range of numbers in the width of first, or first alone, which is
// then any text, where step is 0.
type span struct {
	first, last    string
	from, to, step uint64
}

// count is how many numbers there are.
func (s span) count() uint64 {
	if s.step == 0 {
		return 1
	}
	return (s.to-s.from)/s.step + 1
}

// count is how many names the pattern stands for, or MaxNames + 1 where it is
// more than MaxNames.
func (p pattern) count() int {
	const tooMany = MaxNames + 1
	product := uint64(1)
	for _, part := range p {
		sum := uint64(0)
		for _, s := range part {
			if sum += min(s.count(), tooMany); sum > MaxNames {
				return tooMany
			}
		}
		if product *= sum; product > MaxNames {
			return tooMany
		}
	}
	return int(product)
}

// longest is the length of the longest name, in bytes.
func (p pattern) longest() int {
	sum := 0
	for _, part := range p {
		most := 0
		for _, s := range part {
			most = max(most, len(s.first), len(s.last))
		}
		sum += most
	}
	return sum
}

// expand appends the names that begin with prefix and go on with p.
func (p pattern) expand(names []string, prefix string) []string {
	if len(p) == 0 {
		return append(names, prefix)
	}
	for _, s := range p[0] {
		if s.step == 0 {
			names = p[1:].expand(names, prefix+s.first)
			continue
		}
		for i := range s.count() {
			n := pad(strconv.FormatUint(s.from+i*s.step, 10), len(s.first))
			names = p[1:].expand(names, prefix+n)
		}
	}
	return names
}

// digits are those that the pattern surely ends with.
func (p pattern) digits() string {
	if len(p) == 0 {
		return ""
	}
	last := p[len(p)-1]
	if len(last) != 1 || last[0].step != 0 {
		return "" // numbers in brackets
	}
	text := last[0].first
	return text[len(strings.TrimRight(text, "0123456789")):]
}
