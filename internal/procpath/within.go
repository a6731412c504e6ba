package procpath

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Within reports whether each path that p stands for is one that some pattern of
// others stands for, all of them taken together. It may say no where it would
// take very long to find out that the answer is yes.
//
// A pattern is a finite automaton that reads a path byte by byte, every element
// ended by a slash. Both sides read all paths at once, as sets of the states that
// they may be in; a path is found that only p stands for, or there is none.
func Within(p *Pattern, others ...*Pattern) bool {
	var m machine
	first := m.add(p)
	var rest []int32
	for _, o := range others {
		rest = append(rest, m.add(o)...)
	}
	if len(m.steps) > maxStates {
		return false
	}
	alphabet := m.alphabet()
	seen := make(map[string]bool)
	type pair struct{ p, others []int32 }
	work := 0
	for queue := []pair{{m.closed(first), m.closed(rest)}}; len(queue) > 0; {
		at := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, c := range alphabet {
			next := pair{m.read(at.p, c), m.read(at.others, c)}
			if work += 1 + len(at.p) + len(at.others); work > maxWork {
				return false
			}
			if len(next.p) == 0 {
				continue
			}
			if m.ends(next.p) && !m.ends(next.others) {
				return false
			}
			if key := keyOf(next.p, next.others); !seen[key] {
				seen[key] = true
				queue = append(queue, next)
			}
		}
	}
	return true
}

const (
	maxStates = 1 << 15 // of all patterns that are compared at once
	maxWork   = 1 << 20 // states looked at
)

// A step is one state of the machine: what it reads, and where that leads.
type step struct {
	kind  stepKind
	char  byte // of a literal
	digit int  // of a number, how many have been read
}

type stepKind uint8

const (
	literal stepKind = iota // reads char, then the next step
	run                     // reads anything but a slash and stays; or is passed over
	number                  // reads a digit; may end after the first
	between                 // "**": between two of its elements; or is passed over
	inside                  // "**": inside of an element
	accept                  // the path has ended
)

// maxDigits is the longest number that isNumber takes.
const maxDigits = 10

type machine struct{ steps []step }

// add adds a pattern and returns the first states of its alternatives.
func (m *machine) add(p *Pattern) (starts []int32) {
	for _, elems := range p.alts {
		starts = append(starts, int32(len(m.steps)))
		for _, e := range elems {
			m.element(e)
		}
		m.steps = append(m.steps, step{kind: accept})
	}
	return starts
}

func (m *machine) element(e string) {
	switch e {
	case "**":
		m.steps = append(m.steps, step{kind: between}, step{kind: inside})
		return
	case "<pid>", "<tid>":
		for i := range maxDigits {
			m.steps = append(m.steps, step{kind: number, digit: i})
		}
	default:
		for _, c := range []byte(e) {
			if c == '*' {
				m.steps = append(m.steps, step{kind: run})
			} else {
				m.steps = append(m.steps, step{kind: literal, char: c})
			}
		}
	}
	m.steps = append(m.steps, step{kind: literal, char: '/'})
}

// alphabet has every byte that a pattern names, the slash, and of the others one
// digit and one that is none: they are all alike.
func (m *machine) alphabet() (all []byte) {
	var named [256]bool
	named['/'], named['0'] = true, true
	for _, s := range m.steps {
		if s.kind == literal {
			named[s.char] = true
		}
	}
	digit, other := false, false
	for i := 1; i < 256; i++ {
		c := byte(i)
		isDigit := '1' <= c && c <= '9'
		switch {
		case named[c]:
		case isDigit && !digit:
			digit = true
		case !isDigit && !other:
			other = true
		default:
			continue
		}
		all = append(all, c)
	}
	return all
}

// closed is a set together with the states that are reached by reading nothing,
// in order.
func (m *machine) closed(set []int32) []int32 {
	out := slices.Clone(set)
	for i := 0; i < len(out); i++ {
		at := out[i]
		switch s := m.steps[at]; {
		case s.kind == run:
			out = append(out, at+1)
		case s.kind == between:
			out = append(out, at+2)
		case s.kind == number && s.digit > 0:
			out = append(out, at+int32(maxDigits-s.digit))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// read is the set behind a byte.
func (m *machine) read(set []int32, c byte) []int32 {
	var next []int32
	for _, at := range set {
		switch s := m.steps[at]; s.kind {
		case literal:
			if s.char == c {
				next = append(next, at+1)
			}
		case run:
			if c != '/' {
				next = append(next, at)
			}
		case number:
			if '1' <= c && c <= '9' || c == '0' && s.digit > 0 {
				next = append(next, at+1)
			}
		case between, inside:
			home := at
			if s.kind == inside {
				home--
			}
			if c != '/' {
				home++
			}
			next = append(next, home)
		}
	}
	return m.closed(next)
}

func (m *machine) ends(set []int32) bool {
	return slices.ContainsFunc(set, func(at int32) bool { return m.steps[at].kind == accept })
}

func keyOf(a, b []int32) string {
	var key strings.Builder
	for _, set := range [][]int32{a, {-1}, b} {
		for _, s := range set {
			var word [4]byte
			binary.LittleEndian.PutUint32(word[:], uint32(s))
			key.Write(word[:])
		}
	}
	return key.String()
}

// Alternatives are the patterns without braces that p is made of, each the text
// of a pattern.
func (p *Pattern) Alternatives() []string {
	texts := make([]string, len(p.alts))
	for i, elems := range p.alts {
		texts[i] = strings.Join(elems, "/")
	}
	return texts
}
