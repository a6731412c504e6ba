package rewrite

import (
	"bytes"
	"strconv"
)

// Status rewrites the pids of /proc/<pid>/status. The kernel escapes newlines
// in the name there, so that a line is a line. Of the lines that list one
// number a pid namespace (NSpid and its like) only the first column is a pid
// of the node's; where that is not shown the others are the same hidden process's.
func Status(m *Map, dst, src []byte) ([]byte, bool) {
	return eachLine(dst, src, func(dst, key, value []byte) []byte {
		switch string(key) {
		case "Tgid", "Pid", "NStgid", "NSpid":
			dst, _ = appendFirst(dst, value, m.pid)
			return dst
		case "PPid", "TracerPid":
			dst, _ = appendFirst(dst, value, m.alive)
			return dst
		case "Ngid", "NSpgid", "NSsid":
			start := len(dst)
			dst, hidden := appendFirst(dst, value, m.former)
			if hidden {
				dst = zeroAll(dst[:start], value)
			}
			return dst
		}
		return append(dst, value...)
	})
}

// alive and former are other.
func (m *Map) alive(native int64) (int64, bool)  { return m.other(native, true) }
func (m *Map) former(native int64) (int64, bool) { return m.other(native, false) }

// zeroAll appends a tab-separated value with 0 for each of its numbers.
func zeroAll(dst, value []byte) []byte {
	in := false
	for _, c := range value {
		if c == '\t' || c == ' ' {
			dst, in = append(dst, c), false
		} else if !in {
			dst, in = append(dst, '0'), true
		}
	}
	return dst
}

// Fdinfo rewrites the pids of /proc/<pid>/fdinfo/<fd>: those of a pidfd, the
// owners of file locks, and the thread that polls for an io_uring. See proc_pid_fdinfo(5). Of a pidfd whose process is not
// shown there is one NSpid, 0, as of one that is outside of the reader's pid namespace
// (pidfd_show_fdinfo in kernel/fork.c).
func Fdinfo(m *Map, dst, src []byte) ([]byte, bool) {
	return eachLine(dst, src, func(dst, key, value []byte) []byte {
		switch string(key) {
		case "Pid", "SqThread":
			dst, _ = appendFirst(dst, value, m.alive)
			return dst
		case "NSpid":
			start := len(dst)
			dst, hidden := appendFirst(dst, value, m.alive)
			if hidden {
				return append(dst[:start], "\t0"...)
			}
			return dst
		case "lock":
			return m.appendLock(dst, value)
		}
		return append(dst, value...)
	})
}

// eachLine copies src line by line; value gets what stands behind the ":" of
// "key:value" and appends what shall stand there instead.
func eachLine(dst, src []byte, value func(dst, key, value []byte) []byte) ([]byte, bool) {
	for len(src) > 0 {
		line, rest, found := bytes.Cut(src, newline)
		if colon := bytes.IndexByte(line, ':'); colon < 0 {
			dst = append(dst, line...)
		} else {
			dst = append(dst, line[:colon+1]...)
			dst = value(dst, line[:colon], line[colon+1:])
		}
		if found {
			dst = append(dst, '\n')
		}
		src = rest
	}
	return dst, true
}

var newline = []byte("\n")

// appendFirst maps the first number of a tab-separated value and copies the rest. What
// is no pid becomes 0: it must not pass for somebody's. It reports whether a pid did.
func appendFirst(dst, value []byte, pid func(int64) (int64, bool)) (out []byte, hidden bool) {
	start := 0
	for start < len(value) && (value[start] == '\t' || value[start] == ' ') {
		start++
	}
	end := start
	for end < len(value) && value[end] != '\t' && value[end] != ' ' {
		end++
	}
	native, ok := number(value[start:end])
	g := int64(0)
	if ok {
		if g, ok = pid(native); !ok {
			g = 0
		}
	}
	dst = strconv.AppendInt(append(dst, value[:start]...), g, 10)
	return append(dst, value[end:]...), g == 0 && native > 0
}

// appendLock maps the pid of one line of a lock list, in the form of
// proc_locks(5): "1: FLOCK  ADVISORY  WRITE 1234 00:1a:99 0 EOF". The pid is the
// fifth field; a blocked lock ("1: -> FLOCK ...") has one more before it.
func (m *Map) appendLock(dst, value []byte) []byte {
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

// ThreadGroup is the Tgid of a status file: the process that a thread is part
// of.
func ThreadGroup(status []byte) (int64, bool) {
	_, value, ok := bytes.Cut(status, []byte("\nTgid:\t"))
	if !ok {
		return 0, false
	}
	value, _, _ = bytes.Cut(value, newline)
	return number(value)
}
