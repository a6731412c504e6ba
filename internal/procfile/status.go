package procfile

import (
	"bytes"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// statusFile is proc_pid_status(5).
var statusFile = File{
	Path: "status", Quick: true, Once: true, Public: true, Same: true, Template: true,
	Rewrite: rewriteStatus,
}

// rewriteStatus rewrites the pids of /proc/<pid>/status. The kernel escapes newlines
// in the name there, so that a line is a line. Of the lines that list one
// number a pid namespace (NSpid and its like) only the first column is a pid
// of the node's; where that is not shown the others are the same hidden process's.
func rewriteStatus(m *Map, dst, src []byte) ([]byte, bool) {
	return rewriteLines(m, dst, src, func(key []byte) lineFunc {
		switch string(key) {
		case "Tgid", "Pid", "NStgid", "NSpid":
			return appendSelf
		case "PPid", "TracerPid":
			return appendAlive
		case "Ngid", "NSpgid", "NSsid":
			return appendFormer
		}
		return nil
	})
}

// appendSelf maps the pid of the process itself.
func appendSelf(m *Map, dst, value []byte) []byte {
	dst, _ = appendFirst(dst, value, m.pid)
	return dst
}

// appendAlive maps the pid of another process.
func appendAlive(m *Map, dst, value []byte) []byte {
	dst, _ = appendFirst(dst, value, m.alive)
	return dst
}

// appendFormer maps the pid after which a group or session is called.
func appendFormer(m *Map, dst, value []byte) []byte {
	start := len(dst)
	dst, hidden := appendFirst(dst, value, m.former)
	if hidden {
		dst = zeroAll(dst[:start], value)
	}
	return dst
}

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

// StatusValue is what stands behind the ":" and the blanks of a line of a status file;
// nil where there is no such line. The name of a process makes no lines there: the
// kernel escapes it.
func StatusValue(status []byte, key string) []byte {
	for at := 0; ; at += len(key) {
		i := bytes.Index(status[at:], []byte(key))
		if i < 0 {
			return nil
		}
		at += i
		value, ok := bytes.CutPrefix(status[at+len(key):], colon)
		if ok && (at == 0 || status[at-1] == '\n') {
			value, _, _ = bytes.Cut(value, newline)
			return bytes.TrimSpace(value)
		}
	}
}

var colon = []byte(":")

// StatusNumber is the first number of such a line.
func StatusNumber(status []byte, key string) (int64, bool) {
	value := StatusValue(status, key)
	end := 0
	for end < len(value) && value[end] != '\t' && value[end] != ' ' {
		end++
	}
	return number(value[:end])
}

// OwnedAlone reports whether a status file is of a process that belongs to that user
// and group and to nobody else: all its ids are theirs, which stand for somebody, who is
// not root, and it has no capability.
func OwnedAlone(status []byte, uid, gid uint32) bool {
	return uid != 0 && isRealID(uid) && isRealID(gid) &&
		allIDs(StatusValue(status, "Uid"), uid) && allIDs(StatusValue(status, "Gid"), gid) &&
		isZero(StatusValue(status, "CapPrm"))
}

// StatusOwner is the effective user and group of a process; not ok where status does not
// tell them.
func StatusOwner(status []byte) (uid, gid uint32, ok bool) {
	uid, ok = effectiveID(StatusValue(status, "Uid"))
	if ok {
		gid, ok = effectiveID(StatusValue(status, "Gid"))
	}
	return uid, gid, ok
}

// RunBy reports whether a status file is of a process that a user runs: its real, effective or
// saved user id is theirs.
func RunBy(status []byte, uid uint32) bool {
	for i, field := range bytes.Fields(StatusValue(status, "Uid")) {
		if id, ok := parseID(field); ok && i < 3 && id == uid {
			return true
		}
	}
	return false
}

// effectiveID is the second id of a Uid or Gid line.
func effectiveID(value []byte) (id uint32, ok bool) {
	if fields := bytes.Fields(value); len(fields) > 1 {
		id, ok = parseID(fields[1])
	}
	return id, ok && id != vfs.NoID
}

// isRealID reports whether id is somebody's, not one that stands for nobody in
// particular.
func isRealID(id uint32) bool { return id != vfs.OverflowID && id != vfs.NoID }

// allIDs reports whether a Uid or Gid line has four ids, all of them id.
func allIDs(value []byte, id uint32) bool {
	n := 0
	for field := range bytes.SplitSeq(value, []byte("\t")) {
		if got, ok := parseID(field); !ok || got != id {
			return false
		}
		n++
	}
	return n == 4
}

func parseID(field []byte) (id uint32, ok bool) {
	n, ok := number(field)
	return uint32(n), ok && n >= 0 && n <= int64(vfs.NoID)
}

// isZero reports whether a set of capabilities in hexadecimal is empty.
func isZero(value []byte) bool {
	return len(value) > 0 && len(bytes.Trim(value, "0")) == 0
}
