package nodeset

import (
	"strings"

	"github.com/aggrfs/aggrfs/internal/spelling"
)

// Nearest is the name of among that name was probably meant to be, or "": one
// with the same numbers in another width, n012 for n12, before one with another
// letter or digit.
func Nearest(name string, among []string) string {
	if len(name) > MaxName {
		return ""
	}
	for _, other := range among {
		if unpadded(other) == unpadded(name) {
			return other
		}
	}
	return spelling.Nearest(name, among)
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
