package procfile

// fdinfoFile is what a process has open: see proc_pid_fdinfo(5).
var fdinfoFile = File{Path: "fdinfo/*", Rewrite: rewriteFdinfo}

// rewriteFdinfo rewrites the pids of /proc/<pid>/fdinfo/<fd>: those of a pidfd, the
// owners of file locks, and the thread that polls for an io_uring. Of a pidfd whose
// process is not shown there is one NSpid, 0, as of one that is outside of the reader's pid namespace
// (pidfd_show_fdinfo in kernel/fork.c).
func rewriteFdinfo(m *Map, dst, src []byte) ([]byte, bool) {
	return rewriteLines(m, dst, src, func(key []byte) lineFunc {
		switch string(key) {
		case "Pid", "SqThread":
			return appendAlive
		case "NSpid":
			return appendAliveInside
		case "lock":
			return appendLock
		}
		return nil
	})
}

// appendAliveInside maps the pid of another process, behind which those in inner pid
// namespaces stand.
func appendAliveInside(m *Map, dst, value []byte) []byte {
	start := len(dst)
	dst, hidden := appendFirst(dst, value, m.alive)
	if hidden {
		return append(dst[:start], "\t0"...)
	}
	return dst
}

// appendLock maps the pid of one line of a lock list, in the form of
// proc_locks(5): "1: FLOCK  ADVISORY  WRITE 1234 00:1a:99 0 EOF". The pid is the
// fifth field; a blocked lock ("1: -> FLOCK ...") has one more before it.
func appendLock(m *Map, dst, value []byte) []byte {
	want, field := 4, 0
	for len(value) > 0 {
		if value[0] == ' ' || value[0] == '\t' {
			dst, value = append(dst, value[0]), value[1:]
			continue
		}
		n := 0
		for n < len(value) && value[n] != ' ' && value[n] != '\t' {
			n++
		}
		text := value[:n]
		value = value[n:]
		switch {
		case field == 1 && string(text) == "->":
			want++
			dst = append(dst, text...)
		case field == want:
			var ok bool
			if dst, ok = m.appendOther(dst, text, true); !ok {
				dst = append(dst, '0')
			}
		default:
			dst = append(dst, text...)
		}
		field++
	}
	return dst
}
