package rewrite

import (
	"bytes"
	"strconv"
)

// The fields of /proc/<pid>/stat as proc_pid_stat(5) numbers them.
const (
	statPPID      = 4
	statPGrp      = 5
	statSession   = 6
	statTPGID     = 8
	statUTime     = 14
	statCSTime    = 17
	statStartTime = 22
	statRSS       = 24
	statBlkIO     = 42
	statCGTime    = 44
)

// Stat rewrites /proc/<pid>/stat: pids, times and pages. The name in
// parentheses may hold anything, newlines and parentheses included, so the
// last ")" ends it.
func Stat(m *Map, dst, src []byte) ([]byte, bool) {
	open, end := bytes.IndexByte(src, '('), bytes.LastIndexByte(src, ')')
	if open < 2 || end < open || src[open-1] != ' ' {
		return dst, false
	}
	dst, ok := m.appendPID(dst, src[:open-1])
	if !ok {
		return dst, false
	}
	dst = append(dst, src[open-1:end+1]...)
	rest := src[end+1:]
	field := 2
	for len(rest) > 0 && rest[0] == ' ' {
		field++
		stop := fieldEnd(rest[1:]) + 1
		text := rest[1:stop]
		rest = rest[stop:]
		dst = append(dst, ' ')
		if dst, ok = m.appendStatField(dst, field, text); !ok {
			return dst, false
		}
	}
	return append(dst, rest...), field >= statRSS
}

// fieldEnd is the length of the field that b starts with.
func fieldEnd(b []byte) int {
	for i, c := range b {
		if c == ' ' || c == '\n' {
			return i
		}
	}
	return len(b)
}

func (m *Map) appendStatField(dst []byte, field int, text []byte) ([]byte, bool) {
	switch {
	case field == statPPID:
		return m.appendOther(dst, text, true)
	case field == statPGrp || field == statSession || field == statTPGID:
		return m.appendOther(dst, text, false)
	case field == statStartTime:
		n, ok := number(text)
		if !ok {
			return dst, false
		}
		return strconv.AppendInt(dst, max(0, m.ticks(n)+m.StartShift), 10), true
	case field >= statUTime && field <= statCSTime, field >= statBlkIO && field <= statCGTime:
		return appendScaled(dst, text, m.ticks), true
	case field == statRSS:
		return appendScaled(dst, text, m.pages), true
	}
	return append(dst, text...), true
}

// appendScaled appends the number in text, scaled; what is no number stays.
func appendScaled(dst, text []byte, by func(int64) int64) []byte {
	if n, ok := number(text); ok {
		return strconv.AppendInt(dst, by(n), 10)
	}
	return append(dst, text...)
}

// Statm rewrites /proc/<pid>/statm: seven numbers of pages.
func Statm(m *Map, dst, src []byte) ([]byte, bool) {
	for len(src) > 0 {
		n := fieldEnd(src)
		dst = appendScaled(dst, src[:n], m.pages)
		if n < len(src) {
			dst = append(dst, src[n])
			n++
		}
		src = src[n:]
	}
	return dst, true
}
