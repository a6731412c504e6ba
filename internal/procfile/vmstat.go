package procfile

import (
	"bytes"
	"strings"
)

// vmstatFile is proc_vmstat(5).
var vmstatFile = File{
	Path: "vmstat", NodeWide: true, Sum: sumVmstat,
	counters: &counterKind{
		columns: func(key []byte) int {
			if len(key) == 0 || len(key) > maxName || vmstatGauge(key) {
				return 0
			}
			return 1
		},
		running: []string{"pgfault", "pgfree"},
	},
}

// sumVmstat adds up /proc/vmstat: lines of a name and a number.
func sumVmstat(parts []Part, _ Reader) []byte {
	var t tally
	for _, p := range parts {
		eachLine(p.Text, func(line []byte) {
			key, value, ok := bytes.Cut(line, space)
			if !ok {
				return
			}
			if n, ok := quantity(value); ok {
				t.add(key, n)
			}
		})
	}
	var out []byte
	for _, key := range t.order {
		out = appendRow(out, key, []uint64{t.sum[key]})
	}
	return out
}

// Which lines of /proc/vmstat are counters and which are gauges follows from where
// mm/vmstat.c of the kernel takes them from (vmstat_text, of Linux 6.1 to 6.12, and what
// older ones had): the states of zones and nodes are gauges and are called nr_*, the
// events of enum vm_event_item are counters and, but for those of the TLB, are not. These
// are the names that break the rule: counters among the states of a node (enum
// node_stat_item), and one gauge that is not called so.
var (
	vmstatCounters = map[string]bool{
		"nr_vmscan_write": true, "nr_vmscan_immediate_reclaim": true, "nr_dirtied": true, "nr_written": true, "nr_throttled_written": true,
		"nr_foll_pin_acquired": true, "nr_foll_pin_released": true,
		"nr_tlb_remote_flush": true, "nr_tlb_remote_flush_received": true, "nr_tlb_local_flush_all": true, "nr_tlb_local_flush_one": true,
	}
	vmstatGauges = map[string]bool{"workingset_nodes": true}
)

// vmstatGauge reports whether a line of /proc/vmstat tells how much there is now.
func vmstatGauge(key []byte) bool {
	name := string(key)
	return vmstatGauges[name] || strings.HasPrefix(name, "nr_") && !vmstatCounters[name]
}
