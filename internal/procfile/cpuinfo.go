package procfile

import (
	"bytes"
	"fmt"
)

// cpuinfoFile is proc_cpuinfo(5).
var cpuinfoFile = File{Path: "cpuinfo", NodeWide: true, Sum: sumCpuinfo}

// sumCpuinfo makes /proc/cpuinfo of a machine that has one processor a node, as stat has it:
// an entry a node, with the node's index as "processor". It has the lines of the node's
// first processor, but for those by which programs count cores and packages, the node's name
// and how many processors the node has. A node of which nothing is known has an entry too.
func sumCpuinfo(parts []Part, _ Reader) []byte {
	var out []byte
	for _, p := range parts {
		first, processors := firstProcessor(p.Text)
		out = fmt.Appendf(out, "processor\t: %d\n", p.Index)
		for _, line := range first {
			out = append(out, line...)
			out = append(out, '\n')
		}
		if processors == 0 {
			out = append(out, "model name\t: unknown\n"...)
		}
		out = fmt.Appendf(out, "physical id\t: %d\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\nnode\t\t: %s\nnode cpus\t: %d\n\n",
			p.Index, p.Node, processors)
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
		case "", "physical id", "siblings", "core id", "cpu cores", "apicid", "initial apicid", "node", "node cpus":
		default:
			if count == 1 {
				first = append(first, line)
			}
		}
	})
	return first, count
}
