package sums

import (
	"bytes"
	"fmt"
	"strconv"
)

// Meminfo adds up /proc/meminfo, see proc_meminfo(5). Hugepagesize is a size, no
// quantity: the first node's is shown.
func Meminfo(parts []Part, _ Reader) []byte {
	var t table
	unit := map[string]string{}
	for _, p := range parts {
		lines(p.Text, func(line []byte) {
			key, value, ok := bytes.Cut(line, []byte(":"))
			if !ok {
				return
			}
			fields := bytes.Fields(value)
			if len(fields) == 0 {
				return
			}
			n, ok := number(fields[0])
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

// Vmstat adds up /proc/vmstat: lines of a name and a number.
func Vmstat(parts []Part, _ Reader) []byte {
	var t table
	for _, p := range parts {
		lines(p.Text, func(line []byte) {
			key, value, ok := bytes.Cut(line, []byte(" "))
			if !ok {
				return
			}
			if n, ok := number(value); ok {
				t.add(key, n)
			}
		})
	}
	var out []byte
	for _, key := range t.order {
		out = append(out, key...)
		out = append(out, ' ')
		out = strconv.AppendUint(out, t.sum[key], 10)
		out = append(out, '\n')
	}
	return out
}
