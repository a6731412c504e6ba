// Package figures prints what benchmarks measure, one line each:
//
//	NAME ours=... against=... ratio=...
package figures

import (
	"fmt"
	"slices"
	"time"
)

// Print prints a line about times. The ratio is ours / against.
func Print(name string, ours, against time.Duration) {
	Ratio(name, Readable(ours), Readable(against), ours.Seconds()/against.Seconds())
}

// Ratio prints a line about anything.
func Ratio(name, ours, against string, ratio float64) {
	fmt.Printf("%s ours=%s against=%s ratio=%.2f\n", name, ours, against, ratio)
}

// Readable is d in seconds, or in microseconds where it is less than a
// millisecond.
func Readable(d time.Duration) string {
	if d < time.Millisecond {
		return fmt.Sprintf("%.1fµs", float64(d)/float64(time.Microsecond))
	}
	return fmt.Sprintf("%.3fs", d.Seconds())
}

// Median is the middle one.
func Median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}
