package sums

import "strings"

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
