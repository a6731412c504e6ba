package procfile

import "bytes"

// timersFile is proc_pid_timers(5).
var timersFile = File{Path: "timers", Rewrite: rewriteTimers}

// rewriteTimers rewrites /proc/<pid>/timers, whose "notify:" lines end in the pid or
// thread id that gets the signal: "notify: signal/pid.2634".
func rewriteTimers(m *Map, dst, src []byte) ([]byte, bool) {
	return rewriteLines(m, dst, src, func(key []byte) lineFunc {
		if string(key) == "notify" {
			return appendNotified
		}
		return nil
	})
}

// appendNotified maps the number behind the last dot.
func appendNotified(m *Map, dst, value []byte) []byte {
	dot := bytes.LastIndexByte(value, '.')
	if dot < 0 {
		return append(dst, value...)
	}
	dst, ok := m.appendPID(append(dst, value[:dot+1]...), value[dot+1:])
	if !ok {
		dst = append(dst, '0')
	}
	return dst
}
