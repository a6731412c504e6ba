package sums

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// cpuFields is how many columns a cpu line of /proc/stat has, see proc_stat(5).
const cpuFields = 10

// softirqFields is how many columns its softirq line has: the total and one for
// each kind of include/linux/interrupt.h. Parsers want them all.
const softirqFields = 11

// Stat makes /proc/stat: the "cpu" line is the sum over all nodes, "cpuN" is
// the whole of the node with index N, counters add up, btime is the reader's.
// Of the single interrupts only the total is kept.
func Stat(parts []Part, r Reader) []byte {
	var all [cpuFields]uint64
	var softirq [softirqFields]uint64
	var counters table
	var out, nodes []byte
	for _, p := range parts {
		lines(p.Text, func(line []byte) {
			fields := bytes.Fields(line)
			if len(fields) < 2 {
				return
			}
			switch key := string(fields[0]); key {
			case "cpu":
				cpu := cpuLine(fields[1:], p.Hz, r.Hz)
				for i, n := range cpu {
					all[i] = add(all[i], n)
				}
				nodes = appendRow(nodes, "cpu"+strconv.Itoa(p.Index), cpu[:])
			case "softirq":
				for i := range min(len(fields)-1, softirqFields) {
					n, _ := number(fields[i+1])
					softirq[i] = add(softirq[i], n)
				}
			case "intr", "ctxt", "processes", "procs_running", "procs_blocked":
				if n, ok := number(fields[1]); ok {
					counters.add(fields[0], n)
				}
			}
		})
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

func cpuLine(fields [][]byte, from, to int64) (cpu [cpuFields]uint64) {
	for i := range min(len(fields), cpuFields) {
		n, _ := number(fields[i])
		cpu[i] = scaled(n, from, to)
	}
	return cpu
}

// scaled is that many ticks of one length in those of another.
func scaled(n uint64, from, to int64) uint64 {
	if from == to || from <= 0 || to <= 0 {
		return n
	}
	whole := n / uint64(from)
	if whole > math.MaxUint64/uint64(to)-1 {
		return math.MaxUint64
	}
	return whole*uint64(to) + n%uint64(from)*uint64(to)/uint64(from)
}

func appendRow(out []byte, name string, columns []uint64) []byte {
	out = append(out, name...)
	for _, n := range columns {
		out = append(out, ' ')
		out = strconv.AppendUint(out, n, 10)
	}
	return append(out, '\n')
}

// Cpuinfo makes /proc/cpuinfo: one entry a node, the node's first processor,
// with the number of the node's processors as "cpu cores" and the node's index
// as "processor".
func Cpuinfo(parts []Part, _ Reader) []byte {
	var out []byte
	for _, p := range parts {
		first, cores := firstProcessor(p.Text)
		if cores == 0 {
			continue
		}
		out = fmt.Appendf(out, "processor\t: %d\n", p.Index)
		for _, line := range first {
			out = append(out, line...)
			out = append(out, '\n')
		}
		out = fmt.Appendf(out, "cpu cores\t: %d\nnode\t\t: %s\n\n", cores, p.Node)
	}
	return out
}

// firstProcessor returns the lines of the first entry, without those that
// Cpuinfo writes itself, and how many entries there are.
func firstProcessor(text []byte) (first [][]byte, count int) {
	lines(text, func(line []byte) {
		key, _, _ := bytes.Cut(line, []byte(":"))
		switch key = bytes.TrimSpace(key); string(key) {
		case "processor":
			count++
		case "", "cpu cores", "node":
		default:
			if count == 1 {
				first = append(first, line)
			}
		}
	})
	return first, count
}
