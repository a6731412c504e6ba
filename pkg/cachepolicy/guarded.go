package cachepolicy

import (
	"slices"
	"strings"

	"github.com/aggrfs/aggrfs/internal/procpath"
)

// access is why most guarded files are: see ptrace(2), "Ptrace access mode
// checking".
const access = "shown to those only who may trace the process"

// guarded are the files of a process whose content, or that there is any, depends on
// who reads them, and why: by proc(5) and fs/proc/base.c of Linux. What a sweep brings
// is for all readers, so it cannot bring these; they are cached for each reader apart.
// Not among them are stat and wchan, which hide some fields from most readers: those
// can be made of what root reads.
var guarded = map[string]string{
	"auxv":          access,
	"clear_refs":    "written, not read",
	"cwd":           access,
	"environ":       access,
	"exe":           access,
	"fd":            access,
	"fdinfo":        access,
	"io":            access,
	"ksm_stat":      access,
	"map_files":     access,
	"maps":          access,
	"mem":           "the memory of the process itself",
	"mountstats":    "shown to the owner of the process alone",
	"ns":            access,
	"numa_maps":     access,
	"pagemap":       "the memory of the process, shown in part to most",
	"patch_state":   "shown to root alone",
	"personality":   "shown to those only who may attach to the process",
	"root":          access,
	"seccomp_cache": "shown to root alone",
	"smaps":         access,
	"smaps_rollup":  access,
	"stack":         "shown to root alone",
	"syscall":       "shown to those only who may attach to the process",
	"timerslack_ns": access,
	"uid_map":       "numbers as the reader's user namespace has them",
	"gid_map":       "numbers as the reader's user namespace has them",
	"projid_map":    "numbers as the reader's user namespace has them",
}

// open are the other files of a process: the same for every reader, masked fields
// apart.
var open = []string{
	"arch_status", "attr", "autogroup", "cgroup", "children", "cmdline", "comm", "coredump_filter", "cpuset", "latency", "limits", "loginuid", "mountinfo", "mounts", "net",
	"oom_adj", "oom_score", "oom_score_adj", "sched", "schedstat", "sessionid", "setgroups", "stat", "statm", "status", "task", "timers", "wchan",
}

// rare are files of a process that some kernels have only.
var rare = []string{"fail-nth", "ksm_merging_pages", "make-it-fail", "timens_offsets"}

// ofRoot are the names of a /proc root, see proc(5).
var ofRoot = []string{
	"acpi", "asound", "bootconfig", "buddyinfo", "bus", "cgroups", "cmdline", "config.gz", "consoles", "cpuinfo", "crypto", "device-tree", "devices",
	"diskstats", "dma", "driver", "execdomains", "fb", "filesystems", "fs", "interrupts", "iomem", "ioports", "irq", "kallsyms", "kcore", "key-users",
	"keys", "kmsg", "kpagecgroup", "kpagecount", "kpageflags", "latency_stats", "loadavg", "locks", "lockdep", "lock_stat", "mdstat", "meminfo", "misc",
	"modules", "mounts", "mtrr", "net", "pagetypeinfo", "partitions", "pressure", "sched_debug", "schedstat", "scsi", "self", "slabinfo", "softirqs",
	"spl", "stat", "swaps", "sys", "sysrq-trigger", "sysvipc", "thread-self", "timer_list", "tty", "uptime", "version", "version_signature",
	"vmallocinfo", "vmcore", "vmstat", "zoneinfo",
}

// Guarded says why the content of a file depends on who reads it: a file of a
// process or of a thread, by its path below that; "" where it does not.
func Guarded(rest string) string {
	_, rest = splitTask(rest)
	name, _, _ := strings.Cut(rest, "/")
	return guarded[name]
}

// known reports whether a name is one of /proc's, in a process or in the root, and
// lists those that are.
func known(inProcess bool, name string) (names []string, is bool) {
	names = ofRoot
	if inProcess {
		names = slices.Concat(open, rare)
		for n := range guarded {
			names = append(names, n)
		}
	}
	for _, n := range names {
		if n == name {
			return nil, true
		}
	}
	return names, false
}

// singlesOut is the element of a pattern that stands for some numbers and not for
// others where a pid or tid may stand; "" if there is none.
func singlesOut(alternative string) string {
	anywhere := true // all before are "**"
	before := ""
	first := ""
	for i, e := range strings.Split(alternative, "/") {
		if i == 0 {
			first = e
		}
		below := first == "**" || first == "<pid>" || first == "<tid>" || first == "*"
		if someNumbers(e) && (anywhere || below && (before == "**" || matches(before, "task"))) {
			return e
		}
		anywhere = anywhere && e == "**"
		before = e
	}
	return ""
}

// someNumbers reports whether an element that is not for all numbers is for some.
func someNumbers(e string) bool {
	if e == "*" || e == "**" || strings.Trim(e, "0123456789*") != "" {
		return false
	}
	return e[0] != '0'
}

func matches(element, name string) bool {
	p, err := procpath.Compile(element)
	return err == nil && p.Match(name)
}
