package procfile

import "bytes"

// timersFile is proc_pid_timers(5).
var timersFile = File{Path: "timers", Rewrite: rewriteTimers}

// rewriteTimers rewrites /proc/<pid>/timers, whose "notify:" lines end in the pid or
// thread id that gets the signal: "notify: signal/pid.2634".
func rewriteTimers(m *Map, dst, src []byte) ([]byte, bool) {
	return rewriteLines(dst, src, func(dst, key, value []byte) []byte {
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
