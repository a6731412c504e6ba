package procfile

import (
	"bytes"
	"strconv"
)

// statFile is proc_pid_stat(5).
var statFile = File{
	Path: "stat", Quick: true, Once: true, Public: true,
	Mask: maskStat, Rewrite: rewriteStat,
}

// The fields of /proc/<pid>/stat as proc_pid_stat(5) numbers them.
const (
	statName      = 2
	statState     = 3
	statPPID      = 4
	statPGrp      = 5
	statSession   = 6
	statTTY       = 7
	statTPGID     = 8
	statUTime     = 14
	statSTime     = 15
	statCUTime    = 16
	statCSTime    = 17
	statPriority  = 18
	statNice      = 19
	statThreads   = 20
	statStartTime = 22
	statVsize     = 23
	statRSS       = 24
	statStartCode = 26
	statEndCode   = 27
	statPolicy    = 41
	statBlkIO     = 42
	statGTime     = 43
	statCGTime    = 44
	statLast      = 52
)

// maxHead bounds what stands before the state, in bytes: the pid, and the name with no
// more than 64 (proc_task_name in fs/proc/array.c).
const maxHead = 128

// statScanner goes through the fields of a stat file.
type statScanner struct {
	src        []byte
	open       int // of the name's parenthesis
	head       int // the length of what stands before the state
	start, end int // of the field in src
	field      int // its number
}

// scanStat finds the end of the name, which may hold anything, newlines and
// parentheses included: the last ")" ends it. Not ok if there is none.
func scanStat(src []byte) (s statScanner, ok bool) {
	open, end := bytes.IndexByte(src, '('), bytes.LastIndexByte(src[:min(len(src), maxHead)], ')')
	if open < 2 || end < open || src[open-1] != ' ' {
		return s, false
	}
	return statScanner{src: src, open: open, head: end + 1, end: end + 1, field: statName}, true
}

func (s *statScanner) pid() []byte  { return s.src[:s.open-1] }
func (s *statScanner) name() []byte { return s.src[s.open+1 : s.head-1] }
func (s *statScanner) text() []byte { return s.src[s.start:s.end] }

// next goes to the next field, unless there is none.
func (s *statScanner) next() bool { return s.to(s.field + 1) }

// to goes to a field that is still to come, or to the last before it, unless there is
// one.
func (s *statScanner) to(field int) bool {
	src, start, end := s.src, s.start, s.end
	for ; s.field < field && end < len(src) && src[end] == ' '; s.field++ {
		start = end + 1
		for end = start; end < len(src) && src[end] != ' ' && src[end] != '\n'; end++ {
		}
	}
	s.start, s.end = start, end
	return s.field == field
}

// number is the number of a field that is still to come; 0 where there is none.
func (s *statScanner) number(field int) int64 {
	s.to(field)
	n, _ := number(s.text())
	return n
}

// A Stat is what of a process's stat file tables show.
type Stat struct {
	Name    []byte // part of the file
	State   byte
	PPID    int64
	TTY     int64 // the controlling terminal as the file has it; see TTYName
	CPU     int64 // user and system time, ticks
	Threads int64
	Start   int64 // ticks since boot; negative before the reader's
	RSS     int64 // pages
}

// Larger numbers than these are a lie; they stay within what is computed of them.
const (
	maxTicks = 1 << 40
	maxPages = 1 << 42
)

// ParseStat reads a stat file. The numbers are the reader's if there is a map; m is nil
// for a file that was rewritten already.
func ParseStat(m *Map, src []byte) (l Stat, ok bool) {
	s, ok := scanStat(src)
	if !ok {
		return l, false
	}
	l.Name = s.name()
	s.next()
	if l.State, ok = s.state(); !ok {
		return l, false
	}
	l.PPID = s.number(statPPID)
	l.TTY = s.number(statTTY)
	l.CPU = min(max(s.number(statUTime), 0), maxTicks)
	l.CPU = min(l.CPU+max(s.number(statSTime), 0), maxTicks)
	l.Threads = max(s.number(statThreads), 0)
	l.Start = min(max(s.number(statStartTime), 0), maxTicks)
	l.RSS = min(max(s.number(statRSS), 0), maxPages)
	if s.field < statRSS {
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

// A Detail is what else of a stat file tables of commands show.
type Detail struct {
	VSize    int64 // bytes
	Threads  int64
	Priority int64 // as the file has it: 20 and nice, or of a realtime policy -1 and less
	Nice     int64
	// Policy is that of the scheduler, as sched_setscheduler(2) numbers them.
	Policy int64
}

// ParseDetail reads a stat file. Nothing in it depends on the reader's machine.
func ParseDetail(src []byte) (d Detail, ok bool) {
	s, ok := scanStat(src)
	if !ok {
		return d, false
	}
	d.Priority = s.number(statPriority)
	d.Nice = s.number(statNice)
	d.Threads = max(s.number(statThreads), 0)
	d.VSize = max(s.number(statVsize), 0)
	if s.field < statVsize {
		return d, false
	}
	d.Policy = s.number(statPolicy)
	return d, true
}

// state is the state, one letter.
func (s *statScanner) state() (byte, bool) {
	text := s.text()
	if len(text) != 1 || text[0] < 'A' || text[0] > 'z' {
		return 0, false
	}
	return text[0], true
}

// StartTime is when the process of a stat file started, in ticks since boot.
func StartTime(stat []byte) (ticks int64, ok bool) {
	s, ok := scanStat(stat)
	if !ok || !s.to(statStartTime) {
		return 0, false
	}
	ticks, ok = number(s.text())
	return ticks, ok && ticks >= 0
}

// Start is a node's start time as the reader's stat file has it.
func (m *Map) Start(ticks int64) int64 { return max(m.ticks(ticks)+m.StartShift, 0) }

// Group is the process group of a stat file, 0 where it does not tell.
func Group(stat []byte) int64 {
	s, ok := scanStat(stat)
	if !ok {
		return 0
	}
	return s.number(statPGrp)
}

// StatNumber is the number in a field of a stat file, counted from 1 as in proc_pid_stat(5); the
// first three are not to be had.
func StatNumber(stat []byte, field int) (n int64, ok bool) {
	s, ok := scanStat(stat)
	if !ok || field <= s.field || !s.to(field) {
		return 0, false
	}
	return number(s.text())
}

// IsStatOf reports whether a file has the form of the stat file of that process.
func IsStatOf(pid string, src []byte) bool {
	s, ok := scanStat(src)
	_, whole := ParseStat(nil, src)
	return ok && whole && string(s.pid()) == pid
}

// rewrittenStat are the fields that hold pids, terminals, times and pages.
var rewrittenStat = []int{
	statPPID, statPGrp, statSession, statTTY, statTPGID, statUTime, statSTime, statCUTime, statCSTime, statStartTime, statRSS,
	statBlkIO, statGTime, statCGTime,
}

// maskedStat are the fields that the kernel keeps from a reader without ptrace read
// access to the process (do_task_stat in fs/proc/array.c): where its code, stack and
// arguments lie, whether it waits, how it ended.
var maskedStat = [statLast + 1]bool{
	statStartCode: true, statEndCode: true, 28: true, 29: true, 30: true, 35: true,
	45: true, 46: true, 47: true, 48: true, 49: true, 50: true, 51: true, statLast: true,
}

// rewriteStat is the Rewrite of a process's stat. What lies between two fields that are
// rewritten is copied at once.
func rewriteStat(m *Map, dst, src []byte) ([]byte, bool) {
	s, ok := scanStat(src)
	if !ok {
		return dst, false
	}
	if dst, ok = m.appendPID(dst, s.pid()); !ok {
		return dst, false
	}
	copied := s.open - 1
	for _, field := range rewrittenStat {
		if m.HzFrom == m.HzTo && isDuration(field) {
			continue
		}
		if !s.to(field) {
			break
		}
		dst = append(dst, src[copied:s.start]...)
		if dst, ok = m.appendStatField(dst, field, s.text()); !ok {
			return dst, false
		}
		copied = s.end
	}
	return append(dst, src[copied:]...), s.field >= statRSS
}

// isDuration reports whether a field is a number of ticks.
func isDuration(field int) bool {
	return field >= statUTime && field <= statCSTime || field >= statBlkIO && field <= statCGTime
}

func (m *Map) appendStatField(dst []byte, field int, text []byte) ([]byte, bool) {
	switch field {
	case statPPID:
		return m.appendOther(dst, text, true)
	case statPGrp, statSession, statTPGID:
		return m.appendOther(dst, text, false)
	case statTTY:
		n, ok := number(text)
		if ok && m.TTY != nil {
			n = m.TTY(n)
		}
		return strconv.AppendInt(dst, n, 10), ok
	case statStartTime:
		n, ok := number(text)
		if !ok {
			return dst, false
		}
		return strconv.AppendInt(dst, max(0, m.ticks(n)+m.StartShift), 10), true
	case statRSS:
		return appendScaled(dst, text, m.pages), true
	}
	return appendScaled(dst, text, m.ticks), true
}

// maskStat is the Mask of a process's stat: byte for byte what the kernel gives. Where
// the file is not as it is known today, ok is false and dst is returned as it was: a
// kernel that adds a field may have another one to keep back.
func maskStat(dst, full []byte) (masked []byte, ok bool) {
	s, ok := scanStat(full)
	if !ok {
		return dst, false
	}
	masked = dst
	copied := 0
	// A process has memory until it exits, a thread of the kernel has none.
	hasMemory := false
	for s.next() {
		if s.field == statState {
			if _, ok = s.state(); !ok {
				return dst, false
			}
			continue
		}
		text := s.text()
		if s.field > statLast || !isDecimal(text) {
			return dst, false
		}
		if s.field == statVsize {
			hasMemory = string(text) != "0"
		}
		if maskedStat[s.field] {
			shown := byte('0')
			if hasMemory && s.field <= statEndCode {
				shown = '1'
			}
			masked = append(append(masked, full[copied:s.start]...), shown)
			copied = s.end
		}
	}
	if s.field != statLast || string(full[s.end:]) != "\n" {
		return dst, false
	}
	return append(masked, '\n'), true
}

func isDecimal(value []byte) bool {
	value = bytes.TrimPrefix(value, []byte("-"))
	for _, c := range value {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(value) > 0
}

// statmFile is proc_pid_statm(5): seven numbers of pages.
var statmFile = File{
	Path: "statm", Quick: true, Once: true, Public: true, Same: true,
	Rewrite: func(m *Map, dst, src []byte) ([]byte, bool) { return rewriteFields(dst, src, m.pages), true },
}
