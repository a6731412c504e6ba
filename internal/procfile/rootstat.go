package procfile

import (
	"bytes"
	"fmt"
	"strconv"
)

// rootStatFile is proc_stat(5).
var rootStatFile = File{
	Path: "stat", NodeWide: true, Sum: sumStat, limit: limitStat,
	counters: &counterKind{
		columns: func(key []byte) int {
			switch string(key) {
			case "cpu":
				return cpuFields
			case "softirq":
				return softirqFields
			case "intr", "ctxt", "processes":
				return 1
			}
			return 0
		},
		running: []string{"intr", "ctxt", "processes"}, inTicks: "cpu",
	},
}

// cpuFields is how many columns a cpu line has.
const cpuFields = 10

// softirqFields is how many columns the softirq line has: the total and one for
// each kind of include/linux/interrupt.h. Parsers want them all.
const softirqFields = 11

// sumStat makes /proc/stat of a machine that has one processor a node: "cpuN" is the mean
// processor of the node with index N, its ticks by its processors, and "cpu" the sum of them.
// So a program that tells a process's share of one processor, or divides the "cpu" line by
// the lines below it, tells what it would on the node. A node of which nothing is known has
// a line too. Counters add up, btime is the reader's. Of the single interrupts only the total
// is kept.
func sumStat(parts []Part, r Reader) []byte {
	var all [cpuFields]uint64
	var softirq [softirqFields]uint64
	var counters tally
	var out, nodes []byte
	for _, p := range parts {
		var cpu [cpuFields]uint64
		processors := uint64(0)
		eachLine(p.Text, func(line []byte) {
			fields := bytes.Fields(line)
			if len(fields) < 2 {
				return
			}
			switch key := string(fields[0]); key {
			case "cpu":
				cpu = cpuLine(fields[1:], p.Hz, r.Hz)
			case "softirq":
				for i := range min(len(fields)-1, softirqFields) {
					n, _ := quantity(fields[i+1])
					softirq[i] = clampedSum(softirq[i], n)
				}
			case "intr", "ctxt", "processes", "procs_running", "procs_blocked":
				if n, ok := quantity(fields[1]); ok {
					counters.add(fields[0], n)
				}
			default:
				if isProcessor(fields[0]) {
					processors++
				}
			}
		})
		for i := range cpu {
			cpu[i] /= max(processors, 1)
			all[i] = clampedSum(all[i], cpu[i])
		}
		nodes = appendRow(nodes, "cpu"+strconv.Itoa(p.Index), cpu[:])
	}
	out = appendRow(out, "cpu ", all[:])
	out = append(out, nodes...)
	for _, key := range []string{"intr", "ctxt", "btime", "processes", "procs_running", "procs_blocked"} {
		n := counters.sum[key]
		if key == "btime" {
			n = uint64(max(0, r.BootTime))
		}
		out = fmt.Appendf(out, "%s %d\n", key, n)
	}
	return appendRow(out, "softirq", softirq[:])
}

// isProcessor reports whether a line's first word is that of one processor, "cpu0".
func isProcessor(key []byte) bool {
	digits, ok := bytes.CutPrefix(key, []byte("cpu"))
	return ok && len(digits) > 0 && digits[0] >= '0' && digits[0] <= '9'
}

func cpuLine(fields [][]byte, from, to int64) (cpu [cpuFields]uint64) {
	for i := range min(len(fields), cpuFields) {
		n, _ := quantity(fields[i])
		cpu[i] = scaleTicks(n, from, to)
	}
	return cpu
}

func limitStat(text []byte, c Counts) []byte {
	out := make([]byte, 0, len(text))
	eachLine(text, func(line []byte) {
		key, _, _ := bytes.Cut(line, space)
		switch string(key) {
		case "processes":
			out = fmt.Appendf(out, "%s %d\n", key, c.Processes)
		case "procs_running":
			out = fmt.Appendf(out, "%s %d\n", key, c.Running)
		case "procs_blocked":
			out = fmt.Appendf(out, "%s %d\n", key, c.Blocked)
		default:
			out = append(append(out, line...), '\n')
		}
	})
	return out
}

// BootTimeOf is the btime line of a stat file, in seconds since the epoch.
func BootTimeOf(stat []byte) (seconds int64, ok bool) {
	_, rest, _ := bytes.Cut(stat, []byte("\nbtime "))
	line, _, _ := bytes.Cut(rest, newline)
	return number(line)
}
