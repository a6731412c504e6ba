package procfile

// childrenFile is proc_tid_children(5).
var childrenFile = File{Path: "children", Public: true, Rewrite: rewriteChildren}

// rewriteChildren rewrites /proc/<pid>/task/<tid>/children: pids, each followed by a
// space. One that is not shown is left out.
func rewriteChildren(m *Map, dst, src []byte) ([]byte, bool) {
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
