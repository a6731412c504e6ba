package rewrite

import "bytes"

// A StatLine is what of a process's stat file tables show, as numbers of the reader's.
type StatLine struct {
	Name  []byte // part of the file
	State byte
	PPID  int64
	CPU   int64 // user and system time, ticks
	Start int64 // ticks since the reader's boot; negative before
	RSS   int64 // pages
}

// Larger numbers than these are a lie; they stay within what is computed of them.
const (
	maxTicks = 1 << 40
	maxPages = 1 << 42
)

// ParseStat reads a stat file, see proc_pid_stat(5). m may be nil, for a file that was
// rewritten already.
func ParseStat(m *Map, src []byte) (l StatLine, ok bool) {
	// The name ends before that: it has no more than 64 bytes (proc_task_name).
	open, end := bytes.IndexByte(src, '('), bytes.LastIndexByte(src[:min(len(src), 128)], ')')
	if open < 0 || end < open {
		return l, false
	}
	l.Name = src[open+1 : end]
	rest := src[end+1:]
	field := 2
	for field < statRSS && len(rest) > 0 && rest[0] == ' ' {
		field++
		stop := fieldEnd(rest[1:]) + 1
		text := rest[1:stop]
		rest = rest[stop:]
		if field == statPPID-1 {
			if len(text) != 1 || text[0] < 'A' || text[0] > 'z' {
				return l, false
			}
			l.State = text[0]
			continue
		}
		if !statLineField[field] {
			continue
		}
		n, isNumber := number(text)
		if !isNumber {
			continue
		}
		switch field {
		case statPPID:
			l.PPID = n
		case statUTime, statUTime + 1:
			l.CPU = min(l.CPU+max(n, 0), maxTicks)
		case statStartTime:
			l.Start = min(max(n, 0), maxTicks)
		case statRSS:
			l.RSS = min(max(n, 0), maxPages)
		}
	}
	if field < statRSS {
		return l, false
	}
	if m != nil {
		l.CPU, l.RSS = m.ticks(l.CPU), m.pages(l.RSS)
		l.Start = m.ticks(l.Start) + m.StartShift
		l.PPID, ok = m.other(l.PPID, true)
		return l, ok
	}
	return l, true
}

// statLineField says which fields of a stat file are in a StatLine, besides the state.
var statLineField = [statRSS + 1]bool{statPPID: true, statUTime: true, statUTime + 1: true, statStartTime: true, statRSS: true}
