package procfile

import (
	"bytes"
	"fmt"
)

// meminfoFile is proc_meminfo(5).
var meminfoFile = File{Path: "meminfo", NodeWide: true, Sum: sumMeminfo}

// sumMeminfo adds up /proc/meminfo. Hugepagesize is a size, no
// quantity: the first node's is shown.
func sumMeminfo(parts []Part, _ Reader) []byte {
	var t tally
	unit := map[string]string{}
	for _, p := range parts {
		eachLine(p.Text, func(line []byte) {
			key, value, ok := bytes.Cut(line, []byte(":"))
			if !ok {
				return
			}
			fields := bytes.Fields(value)
			if len(fields) == 0 {
				return
			}
			n, ok := quantity(fields[0])
			if !ok {
				return
			}
			_, seen := t.sum[string(key)]
			if seen && string(key) == "Hugepagesize" {
				return
			}
			if len(fields) > 1 && string(fields[1]) == "kB" {
				unit[string(key)] = " kB"
			}
			t.add(key, n)
		})
	}
	var out []byte
	for _, key := range t.order {
		out = fmt.Appendf(out, "%-15s %8d%s\n", key+":", t.sum[key], unit[key])
	}
	return out
}
