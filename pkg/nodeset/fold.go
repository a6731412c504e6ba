package nodeset

import (
	"slices"
	"strings"
)

// String writes the set in few words, as "nodeset -f" of ClusterShell does:
// names that differ in their numbers only are folded into brackets. Parse gives
// the same set again.
func (s Set) String() string {
	var b strings.Builder
	for _, g := range grouped(s.names) {
		for _, block := range g.fold() {
			if b.Len() > 0 {
				b.WriteByte(',')
			}
			for i, text := range g.texts {
				b.WriteString(text)
				if i < len(block) {
					writeNumbers(&b, block[i])
				}
			}
		}
	}
	return b.String()
}

// A group is the names that have the same texts around their numbers.
type group struct {
	texts  []string // one more than there are numbers; the last may be empty
	points []block  // the numbers of each name, in order
}

// A block stands for all combinations of its dimensions' numbers.
type block [][]string

// grouped sorts names into groups, by the first name of each.
func grouped(names []string) []*group {
	var groups []*group
	byTexts := make(map[string]*group)
	for _, name := range names {
		var texts []string
		var point block
		for rest := name; ; {
			t, n := cutNumber(rest)
			texts = append(texts, rest[:t])
			if t == n {
				break
			}
			point = append(point, []string{rest[t:n]})
			rest = rest[n:]
		}
		key := strings.Join(texts, "\x00")
		g := byTexts[key]
		if g == nil {
			g = &group{texts: texts}
			byTexts[key] = g
			groups = append(groups, g)
		}
		g.points = append(g.points, point)
	}
	return groups
}

// fold covers the group's points with few blocks, none of which overlap: it
// joins blocks that differ in one dimension, beginning with the last dimension
// and, in a second try, with the first, and takes the better. The least cover
// is a hard problem and not looked for.
func (g *group) fold() []block {
	last, first := g.points, g.points
	dims := len(g.texts) - 1
	for before := -1; len(last) != before; {
		before = len(last)
		for d := dims - 1; d >= 0; d-- {
			last = join(last, d)
		}
	}
	if dims < 2 {
		return last
	}
	for before := -1; len(first) != before; {
		before = len(first)
		for d := range dims {
			first = join(first, d)
		}
	}
	if len(first) < len(last) {
		return first
	}
	return last
}

// join makes one block of those that differ in dimension d only. The blocks
// given are not changed.
func join(blocks []block, d int) []block {
	var joined []block
	at := make(map[string]int, len(blocks)) // index in joined by the other dimensions
	for _, b := range blocks {
		var key strings.Builder
		for i, numbers := range b {
			if i != d {
				key.WriteString(strings.Join(numbers, ","))
			}
			key.WriteByte(';')
		}
		i, found := at[key.String()]
		if !found {
			at[key.String()] = len(joined)
			b = slices.Clone(b)
			b[d] = slices.Clone(b[d])
			joined = append(joined, b)
			continue
		}
		joined[i][d] = append(joined[i][d], b[d]...)
	}
	for _, b := range joined {
		slices.SortFunc(b[d], compareNumbers)
	}
	return joined
}

// writeNumbers writes one number, or numbers in order and in brackets.
func writeNumbers(b *strings.Builder, numbers []string) {
	if len(numbers) == 1 {
		b.WriteString(numbers[0])
		return
	}
	open := byte('[')
	for len(numbers) > 0 {
		run := 1
		for run < len(numbers) && follows(numbers[0], numbers[run-1], numbers[run]) {
			run++
		}
		b.WriteByte(open)
		b.WriteString(numbers[0])
		if run > 1 {
			b.WriteByte('-')
			b.WriteString(numbers[run-1])
		}
		numbers, open = numbers[run:], ','
	}
	b.WriteByte(']')
}

// follows reports whether the range from first to last can be extended by n.
func follows(first, last, n string) bool {
	const longest = 18 // digits that surely fit in the 63 bits of a span
	return len(n) <= longest && n == next(last) && (!padded(first) || len(n) == len(first))
}
