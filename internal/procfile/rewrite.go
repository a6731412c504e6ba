package procfile

import (
	"bytes"
	"cmp"
	"strconv"
	"strings"
)

// MaxPID is the largest pid a Linux kernel gives out: PID_MAX_LIMIT of
// include/linux/threads.h.
const MaxPID = 1 << 22

// Map says how one node's numbers become the reader's.
type Map struct {
	// PID returns the global pid of a native pid or thread id between 1 and
	// MaxPID, or 0 where there is none. It must be safe for concurrent use.
	PID func(native int64) int64
	// Most is in place of MaxPID where pids are numbers that another front end has given out; 0 is
	// MaxPID.
	Most int64
	// Shows reports whether a process, or thread, may be named in the file of another
	// one; what it does not show becomes 0, as what is outside of a pid namespace does,
	// see pid_namespaces(7). lives says that the number is that of something that lives,
	// rather than one that a process group or session still has from its leader. Nil
	// shows all. It must be safe for concurrent use.
	Shows func(native int64, lives bool) bool

	// TTY returns the number of a terminal of the node, 0 for 0: one that no terminal of the
	// reader's machine has, so that equal numbers of two machines are not one. Nil leaves
	// them. It must be safe for concurrent use.
	TTY func(native int64) int64

	// StartShift is added to start times, in the reader's ticks: the node's
	// boot minus the reader's.
	StartShift int64
	// HzFrom and HzTo are the node's and the reader's USER_HZ, ticks a second.
	HzFrom, HzTo int64
	// PageFrom and PageTo are the node's and the reader's page size in bytes.
	PageFrom, PageTo int64

	// CgroupSlice is the slice that every cgroup path is put below, "n1.slice"; empty
	// leaves them alone.
	CgroupSlice string

	// Machine is a number of the node's among the machines of the cluster; 0 is the reader's own.
	Machine uint32
}

// A RewriteFunc appends the rewritten src to dst. It reports false if src has not the
// form of its file; what dst then holds is meaningless.
type RewriteFunc func(m *Map, dst, src []byte) (out []byte, ok bool)

// Rewriter returns what rewrites the file at path below a process directory, or nil
// if it passes as it is.
func Rewriter(path []string) RewriteFunc {
	if len(path) > 2 && path[0] == "task" {
		path = path[2:]
	}
	switch len(path) {
	case 0:
		return nil
	case 1:
		return Process.File(path[0]).Rewrite
	}
	return Process.File(strings.Join(path, "/")).Rewrite
}

// pid maps one pid: 0 and -1 stay as they are, as they mean "none" everywhere. It
// reports false for what no kernel would show.
func (m *Map) pid(native int64) (int64, bool) {
	if native == 0 || native == -1 {
		return native, true
	}
	if native < 0 || native > cmp.Or(m.Most, MaxPID) {
		return 0, false
	}
	return m.PID(native), true
}

// other maps the pid of another process, or process group or session.
func (m *Map) other(native int64, lives bool) (int64, bool) {
	if native > 0 && native <= cmp.Or(m.Most, MaxPID) && m.Shows != nil && !m.Shows(native, lives) {
		return 0, true
	}
	return m.pid(native)
}

// ticks scales a duration from the node's ticks to the reader's.
func (m *Map) ticks(n int64) int64 { return scale(n, m.HzTo, m.HzFrom) }

// pages scales a number of pages from the node's size to the reader's.
func (m *Map) pages(n int64) int64 { return scale(n, m.PageFrom, m.PageTo) }

// scale is n*num/den without overflow for any n; factors of zero change nothing.
func scale(n, num, den int64) int64 {
	if num == den || num <= 0 || den <= 0 {
		return n
	}
	if whole := n / den * num; whole/num == n/den {
		return whole + n%den*num/den
	}
	return n
}

// number parses a decimal, perhaps negative, of at most 18 digits that fills all of b.
func number(b []byte) (int64, bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if neg {
		n = -n
	}
	return n, true
}

// appendPID appends the global pid of the native pid in text. It reports false
// if text is no pid.
func (m *Map) appendPID(dst, text []byte) ([]byte, bool) {
	n, ok := number(text)
	if !ok {
		return dst, false
	}
	g, ok := m.pid(n)
	if !ok {
		return dst, false
	}
	return strconv.AppendInt(dst, g, 10), true
}

// appendOther is appendPID for a number that other maps.
func (m *Map) appendOther(dst, text []byte, lives bool) ([]byte, bool) {
	n, ok := number(text)
	if !ok {
		return dst, false
	}
	g, ok := m.other(n, lives)
	if !ok {
		return dst, false
	}
	return strconv.AppendInt(dst, g, 10), true
}

// appendScaled appends the number in text, scaled; what is no number stays.
func appendScaled(dst, text []byte, by func(int64) int64) []byte {
	if n, ok := number(text); ok {
		return strconv.AppendInt(dst, by(n), 10)
	}
	return append(dst, text...)
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

// A lineFunc appends what shall stand behind the ":" of a line of "key:value".
type lineFunc func(m *Map, dst, value []byte) []byte

// rewriteLines copies src, but for the values of the lines for whose key of returns a
// function. What lies between those is copied at once.
func rewriteLines(m *Map, dst, src []byte, of func(key []byte) lineFunc) ([]byte, bool) {
	copied := 0
	for at := 0; at < len(src); {
		end := len(src)
		if n := bytes.IndexByte(src[at:], '\n'); n >= 0 {
			end = at + n
		}
		if colon := bytes.IndexByte(src[at:end], ':'); colon >= 0 {
			if value := of(src[at : at+colon]); value != nil {
				from := at + colon + 1
				dst = value(m, append(dst, src[copied:from]...), src[from:end])
				copied = end
			}
		}
		at = end + 1
	}
	return append(dst, src[copied:]...), true
}

var newline = []byte("\n")

// rewriteFields copies src, whose numbers stand between blanks, with each scaled.
func rewriteFields(dst, src []byte, by func(int64) int64) []byte {
	for len(src) > 0 {
		n := fieldEnd(src)
		dst = appendScaled(dst, src[:n], by)
		if n < len(src) {
			dst = append(dst, src[n])
			n++
		}
		src = src[n:]
	}
	return dst
}

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

// alive and former are other.
func (m *Map) alive(native int64) (int64, bool)  { return m.other(native, true) }
func (m *Map) former(native int64) (int64, bool) { return m.other(native, false) }
