package procfile

import (
	"bytes"
	"fmt"
)

// cpuinfoFile is proc_cpuinfo(5).
var cpuinfoFile = File{Path: "cpuinfo", NodeWide: true, Sum: sumCpuinfo}

// sumCpuinfo makes /proc/cpuinfo: one entry a node, the node's first processor,
// with the number of the node's processors as "cpu cores" and the node's index
// as "processor".
func sumCpuinfo(parts []Part, _ Reader) []byte {
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
// sumCpuinfo writes itself, and how many entries there are.
func firstProcessor(text []byte) (first [][]byte, count int) {
	eachLine(text, func(line []byte) {
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
