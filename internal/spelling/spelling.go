// Package spelling finds the word that somebody meant who wrote another.
package spelling

// Nearest is the word that key was probably meant to be, or "": the one with
// the fewest letters to change, if these are not more than a third of it.
func Nearest(key string, words []string) string {
	best, least := "", max(1, len(key)/3)+1
	if len(key) > 64 {
		return ""
	}
	for _, w := range words {
		if d := edits(key, w); d < least {
			best, least = w, d
		}
	}
	return best
}

// edits is how many letters must be added, removed, changed or swapped with
// their neighbour to make b of a (the optimal string alignment distance).
func edits(a, b string) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			changed := last[j-1]
			if a[i-1] != b[j-1] {
				changed++
			}
			row[j] = min(changed, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
