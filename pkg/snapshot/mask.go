package snapshot

import "bytes"

// Fields of a stat file, counted from 1; see proc_pid_stat(5).
const (
	statState     = 3
	statVsize     = 23
	statStartCode = 26
	statEndCode   = 27
	statLast      = 52
)

// maskedStat are the fields that the kernel keeps from a reader without ptrace
// read access to the process (do_task_stat in fs/proc/array.c): where its code,
// stack and arguments lie, whether it waits, how it ended.
var maskedStat = [statLast + 1]bool{
	statStartCode: true, statEndCode: true, 28: true, 29: true, 30: true, 35: true,
	45: true, 46: true, 47: true, 48: true, 49: true, 50: true, 51: true, statLast: true,
}

// MaskStat appends to dst a process's stat file as a reader gets it who has no
// ptrace read access to the process, made of the file as one gets it who has:
// byte for byte what the kernel gives. The two must not overlap. Where the file
// is not as it is known today, ok is false and dst is returned as it was: a
// kernel that adds a field may have another one to keep back.
func MaskStat(dst, full []byte) (masked []byte, ok bool) {
	// The name in parentheses may hold anything, but no field behind it can.
	state := bytes.LastIndex(full, []byte(") ")) + 2
	if state < 2 || full[len(full)-1] != '\n' {
		return dst, false
	}
	rest := full[state : len(full)-1]
	if bytes.Count(rest, []byte(" ")) != statLast-statState {
		return dst, false
	}
	masked = append(dst, full[:state]...)
	// A process has memory until it exits, a thread of the kernel has none.
	hasMemory := false
	for field := statState; field <= statLast; field++ {
		value, tail, _ := bytes.Cut(rest, []byte(" "))
		if rest = tail; field > statState && !isDecimal(value) {
			return dst, false
		}
		switch {
		case field == statVsize:
			hasMemory = string(value) != "0"
		case hasMemory && (field == statStartCode || field == statEndCode):
			value = []byte("1")
		case maskedStat[field]:
			value = []byte("0")
		}
		masked = append(append(masked, value...), ' ')
	}
	masked[len(masked)-1] = '\n'
	return masked, true
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
