package procfs9p

import "strings"

// What the kernel does to produce a file or directory below a process decides
// how it may be read. Sources: fs/proc/base.c, array.c and task_mmu.c of Linux.

// quickFiles take no lock that another process, or a page fault, can hold for
// long, so they are read in place. Everything that is not here may block: it
// takes the memory map's lock (maps, smaps, numa_maps, map_files), the lock held
// through an exec (environ, io, stack, syscall, personality, auxv), touches the
// process's memory (cmdline, environ), takes a lock of a whole subsystem
// (cgroup, mounts, net), or calls a driver (fdinfo).
var quickFiles = map[string]bool{
	"stat": true, "statm": true, "status": true, "comm": true, "schedstat": true, "wchan": true,
	"limits": true, "oom_adj": true, "oom_score": true, "oom_score_adj": true, "loginuid": true, "sessionid": true,
}

// onceFiles come whole from the first read(2) that has room for them: the
// kernel formats them as one record (single_open in fs/seq_file.c) or copies
// until the buffer is full. A second read would only say that this was the end.
var onceFiles = map[string]bool{
	"stat": true, "statm": true, "status": true, "comm": true, "schedstat": true, "wchan": true,
	"limits": true, "oom_adj": true, "oom_score": true, "oom_score_adj": true, "loginuid": true, "sessionid": true,
	"cmdline": true, "environ": true, "cgroup": true, "io": true,
}

// quickDirs are the directories whose listing and links take no such lock.
var quickDirs = map[string]bool{"": true, "task": true, "fd": true, "fdinfo": true, "ns": true, "attr": true}

// processLinks are the links of a process directory. Their texts are found
// without a lock that may be held for long.
var processLinks = map[string]bool{"exe": true, "cwd": true, "root": true}

// mayBlockFile tells whether reading the file may block; rel is relative to a
// process directory, or to the root where process is false.
func mayBlockFile(process bool, rel string) bool {
	return !process || !quickFiles[inThread(rel)]
}

// mayBlockDir tells whether listing the directory, or looking up or asking
// about what is in it, may block.
func mayBlockDir(process bool, rel string) bool {
	if !process {
		return rel != ""
	}
	if tail, ok := strings.CutPrefix(rel, "task/"); ok && !strings.Contains(tail, "/") {
		return false
	}
	return !quickDirs[inThread(rel)]
}

// parentOf is the directory that rel is in; "" is the one that rel is relative
// to.
func parentOf(rel string) string {
	if i := strings.LastIndexByte(rel, '/'); i >= 0 {
		return rel[:i]
	}
	return ""
}
