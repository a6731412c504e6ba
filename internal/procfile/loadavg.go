package procfile

import (
	"bytes"
	"fmt"
	"strconv"
)

// loadavgFile is proc_loadavg(5).
var loadavgFile = File{Path: "loadavg", NodeWide: true, Sum: sumLoadavg, limit: limitLoadavg}

// sumLoadavg adds up the three averages and the numbers of running and of all tasks.
// The last field, the pid created most recently, is that of the first part that tells it.
func sumLoadavg(parts []Part, _ Reader) []byte {
	var avg [3]float64
	var running, total uint64
	var last []byte
	for _, p := range parts {
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
		if n, ok := quantity(run); ok {
			running = clampedSum(running, n)
		}
		if n, ok := quantity(all); ok {
			total = clampedSum(total, n)
		}
		if _, ok := quantity(f[4]); ok && last == nil {
			last = f[4]
		}
	}
	if last == nil {
		last = []byte("0")
	}
	return fmt.Appendf(nil, "%.2f %.2f %.2f %d/%d %s\n", avg[0], avg[1], avg[2], running, total, last)
}

func limitLoadavg(text []byte, c Counts) []byte {
	f := bytes.Fields(text)
	if len(f) < 3 {
		return nil
	}
	return fmt.Appendf(nil, "%s %s %s %d/%d 0\n", f[0], f[1], f[2], c.Running, c.Threads)
}
