package sums

import (
	"bytes"
	"fmt"
	"strconv"
)

// Loadavg adds up /proc/loadavg, see proc_loadavg(5): the three averages and
// the numbers of running and of all tasks. The last field, the pid created most
// recently, is the first part's.
func Loadavg(parts []Part, _ Reader) []byte {
	var avg [3]float64
	var running, total uint64
	last := []byte("0")
	for i, p := range parts {
		f := bytes.Fields(p.Text)
		if len(f) < 5 {
			continue
		}
		for k := range avg {
			if x, err := strconv.ParseFloat(string(f[k]), 64); err == nil && x >= 0 && x < 1e9 {
				avg[k] += x
			}
		}
		run, all, _ := bytes.Cut(f[3], []byte("/"))
		if n, ok := number(run); ok {
			running = add(running, n)
		}
		if n, ok := number(all); ok {
			total = add(total, n)
		}
		if _, ok := number(f[4]); ok && i == 0 {
			last = f[4]
		}
	}
	return fmt.Appendf(nil, "%.2f %.2f %.2f %d/%d %s\n", avg[0], avg[1], avg[2], running, total, last)
}
