package procfile

// Why files are guarded.
const (
	traceable  = "shown to those only who may trace the process" // ptrace(2), "Ptrace access mode checking"
	attachable = "shown to those only who may attach to the process"
	ofRoot     = "shown to root alone"
	ofUserNS   = "numbers as the reader's user namespace has them"
)

// Process is of what the directory of a process holds, and that of a thread.
var Process = newTable(true, []File{
	statFile, statmFile, statusFile, cgroupFile, childrenFile, schedFile, timersFile, fdinfoFile, mapsFile, wchanFile,

	{Path: "arch_status", Public: true},
	{Path: "attr", Dir: true, Quick: true},
	{Path: "autogroup", Public: true},
	{Path: "auxv", Guarded: traceable},
	{Path: "clear_refs", Guarded: "written, not read", Hidden: "a command to the kernel"},
	{Path: "cmdline", Once: true, Public: true, Same: true},
	{Path: "comm", Quick: true, Once: true, Public: true, Same: true},
	{Path: "coredump_filter", Public: true},
	{Path: "cpu_resctrl_groups", Public: true},
	{Path: "cpuset", Public: true},
	{Path: "cwd", Link: true, Dir: true, Guarded: traceable},
	{Path: "environ", Once: true, Guarded: traceable, ReadOnce: true},
	{Path: "exe", Link: true, Guarded: traceable},
	{Path: "fail-nth"},
	{Path: "fd", Dir: true, Quick: true, Guarded: traceable},
	{Path: "fdinfo", Dir: true, Quick: true, Guarded: traceable},
	{Path: "gid_map", Public: true, Guarded: ofUserNS},
	{Path: "io", Once: true, Guarded: traceable, Template: true},
	{Path: "ksm_merging_pages"},
	{Path: "ksm_stat", Guarded: traceable},
	{Path: "latency", Public: true},
	{Path: "limits", Quick: true, Once: true, Public: true, Template: true},
	{Path: "loginuid", Quick: true, Once: true, Public: true},
	{Path: "make-it-fail"},
	{Path: "map_files", Dir: true, Guarded: traceable},
	{Path: "mem", Guarded: "the memory of the process itself", Hidden: "the process's memory"},
	{Path: "mountinfo", Public: true},
	{Path: "mounts", Public: true},
	{Path: "mountstats", Guarded: "shown to the owner of the process alone"},
	{Path: "net", Dir: true},
	{Path: "net/rpc/*/channel", Hidden: "reading takes requests away from the daemon that answers them"},
	{Path: "ns", Dir: true, Quick: true, Guarded: traceable},
	{Path: "ns/*", Link: true, Quick: true, Guarded: traceable},
	{Path: "numa_maps", Guarded: traceable},
	{Path: "oom_adj", Quick: true, Once: true, Public: true},
	{Path: "oom_score", Quick: true, Once: true, Public: true},
	{Path: "oom_score_adj", Quick: true, Once: true, Public: true},
	{Path: "pagemap", Guarded: "the memory of the process, shown in part to most", Hidden: "where the process's memory lies"},
	{Path: "patch_state", Public: true, Guarded: ofRoot},
	{Path: "personality", Guarded: attachable},
	{Path: "projid_map", Public: true, Guarded: ofUserNS},
	{Path: "root", Link: true, Dir: true, Guarded: traceable},
	{Path: "schedstat", Quick: true, Once: true, Public: true},
	{Path: "seccomp_cache", Guarded: ofRoot},
	{Path: "sessionid", Quick: true, Once: true, Public: true},
	{Path: "setgroups", Public: true},
	{Path: "smaps", Guarded: traceable},
	{Path: "smaps_rollup", Guarded: traceable, Template: true},
	{Path: "stack", Guarded: ofRoot},
	{Path: "syscall", Guarded: attachable},
	{Path: "task", Dir: true, Quick: true},
	{Path: "timens_offsets", Public: true},
	{Path: "timerslack_ns", Guarded: traceable},
	{Path: "uid_map", Public: true, Guarded: ofUserNS},
})

// wchanFile is where a process waits in the kernel; who may not trace it is told that it
// does not (proc_pid_wchan in fs/proc/base.c, since Linux 4.3).
var wchanFile = File{
	Path: "wchan", Quick: true, Once: true, Public: true,
	Mask: func(dst, _ []byte) ([]byte, bool) { return append(dst, '0'), true },
}
