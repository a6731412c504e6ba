package nodeset

import (
	"cmp"
	"strings"
)

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
