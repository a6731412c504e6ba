package rewrite

import (
	"bytes"

	"github.com/aggrfs/aggrfs/internal/cgroup"
)

// Cgroup puts the paths of /proc/<pid>/cgroup below the slice of their node: see
// cgroup.AppendBelow.
func Cgroup(m *Map, dst, src []byte) ([]byte, bool) {
	if m.CgroupSlice == "" {
		return append(dst, src...), true
	}
	for len(src) > 0 {
		line, rest, found := bytes.Cut(src, newline)
		dst = cgroup.AppendBelow(dst, m.CgroupSlice, line)
		if found {
			dst = append(dst, '\n')
		}
		src = rest
	}
	return dst, true
}

// Children rewrites /proc/<pid>/task/<tid>/children: pids, each followed by a
// space. One that is not shown is left out.
func Children(m *Map, dst, src []byte) ([]byte, bool) {
	for len(src) > 0 {
		n := fieldEnd(src)
		start := len(dst)
		if n > 0 {
			var ok bool
			if dst, ok = m.appendOther(dst, src[:n], true); !ok {
				return dst, false
			}
		}
		hidden := string(dst[start:]) == "0" && string(src[:n]) != "0"
		if n < len(src) {
			dst = append(dst, src[n])
			n++
		}
		if hidden {
			dst = dst[:start]
		}
		src = src[n:]
	}
	return dst, true
}

// Sched rewrites the title of /proc/<pid>/sched, "name (pid, #threads: n)", and the pid
// after which its NUMA group is called (sched_show_numa in kernel/sched/debug.c). The
// name is not escaped, so the title ends where the line of dashes begins.
func Sched(m *Map, dst, src []byte) ([]byte, bool) {
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

// Timers rewrites /proc/<pid>/timers, whose "notify:" lines end in the pid or
// thread id that gets the signal: "notify: signal/pid.2634".
func Timers(m *Map, dst, src []byte) ([]byte, bool) {
	return eachLine(dst, src, func(dst, key, value []byte) []byte {
		dot := bytes.LastIndexByte(value, '.')
		if string(key) != "notify" || dot < 0 {
			return append(dst, value...)
		}
		dst = append(dst, value[:dot+1]...)
		dst, ok := m.appendPID(dst, value[dot+1:])
		if !ok {
			dst = append(dst, '0')
		}
		return dst
	})
}
