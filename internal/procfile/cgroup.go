package procfile

import (
	"bytes"

	"github.com/aggrfs/aggrfs/internal/cgroup"
)

// cgroupFile is proc_pid_cgroup(5); package cgroup has what the paths in it mean.
var cgroupFile = File{Path: "cgroup", Once: true, Public: true, Same: true, ReadOnce: true, Rewrite: rewriteCgroup}

// rewriteCgroup puts the paths of /proc/<pid>/cgroup below the slice of their node: see
// cgroup.AppendBelow.
func rewriteCgroup(m *Map, dst, src []byte) ([]byte, bool) {
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
