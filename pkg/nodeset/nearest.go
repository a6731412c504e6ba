package nodeset

import (
	"slices"
	"strings"

	"github.com/aggrfs/aggrfs/internal/spelling"
)

// Nearest is the name of among that name was probably meant to be, or "". Its numbers are
// the same, perhaps in another width: n12 is n012, and never n13, which is another machine as
// good as any. Its letters are the same in another case, or, where there are three or more of
// them, with as few mistakes as words have: nod3 is node3.
func Nearest(name string, among []string) string {
	if len(name) > MaxName {
		return ""
	}
	text, numbers := apart(name)
	var texts, names []string
	for _, other := range among {
		switch t, n := apart(other); {
		case n != numbers:
		case t == text:
			return other
		default:
			texts, names = append(texts, t), append(names, other)
		}
	}
	if near := spelling.Nearest(text, texts); len(text) >= fewLetters && near != "" {
		return names[slices.Index(texts, near)]
	}
	return ""
}

// fewLetters is of how many letters on a mistake leaves enough to know a name by.
const fewLetters = 3

// apart is a name in small letters without its numbers, and these without the zeros in front.
func apart(name string) (text, numbers string) {
	var letters, digits strings.Builder
	for name != "" {
		end, number := cutNumber(name)
		letters.WriteString(strings.ToLower(name[:end]))
		if end < number {
			digits.WriteString(strings.TrimLeft(name[end:number], "0") + ",")
		}
		name = name[number:]
	}
	return letters.String(), digits.String()
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
// of them was probably meant to be: "n[12-13] (did you mean n012?)". It is "" if all
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
