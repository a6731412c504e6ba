package procfile

import "bytes"

// schedFile is what the scheduler tells of a process, see kernel/sched/debug.c.
var schedFile = File{Path: "sched", Public: true, Template: true, Rewrite: rewriteSched}

// rewriteSched rewrites the title of /proc/<pid>/sched, "name (pid, #threads: n)", and the pid
// after which its NUMA group is called (sched_show_numa in kernel/sched/debug.c). The
// name is not escaped, so the title ends where the line of dashes begins.
func rewriteSched(m *Map, dst, src []byte) ([]byte, bool) {
	end := bytes.Index(src, []byte("\n---"))
	if end < 0 {
		end = len(src)
	}
	tail := bytes.LastIndex(src[:end], []byte(", #threads:"))
	if tail < 0 {
		return append(dst, src...), true
	}
	head := bytes.LastIndexByte(src[:tail], '(')
	if head < 0 {
		return dst, false
	}
	dst = append(dst, src[:head+1]...)
	dst, ok := m.appendPID(dst, src[head+1:tail])
	dst = append(dst, src[tail:end]...)
	before, group, found := bytes.Cut(src[end:], []byte(numaGroup))
	if dst = append(dst, before...); !found || !ok {
		return dst, ok
	}
	n := fieldEnd(group)
	dst, ok = m.appendOther(append(dst, numaGroup...), group[:n], false)
	return append(dst, group[n:]...), ok
}

const numaGroup = "numa_group_id="
