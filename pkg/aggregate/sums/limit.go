package sums

import (
	"bytes"
	"fmt"
	"strconv"
)

// Counts are of the processes that one reader sees of a node.
type Counts struct {
	Processes, Threads, Running, Blocked uint64
}

// Add counts a process by its stat file, see proc_pid_stat(5). What has not the
// form of one counts as one sleeping thread.
func (c *Counts) Add(stat []byte) {
	c.Processes++
	threads, state := uint64(1), byte('S')
	if end := bytes.LastIndexByte(stat, ')'); end >= 0 {
		// Behind the name: field 3 is the state, field 20 the number of threads.
		if f := bytes.Fields(stat[end+1:]); len(f) > 17 && len(f[0]) == 1 {
			state = f[0][0]
			if n, ok := number(f[17]); ok {
				threads = n
			}
		}
	}
	c.Threads = add(c.Threads, threads)
	switch state {
	case 'R':
		c.Running++
	case 'D':
		c.Blocked++
	}
}

// Limit makes a node's loadavg or stat tell of these processes only, where it
// counts processes; other files stay as they are. The load itself is the
// machine's.
func Limit(name string, text []byte, c Counts) []byte {
	switch name {
	case "loadavg":
		f := bytes.Fields(text)
		if len(f) < 3 {
			return nil
		}
		return fmt.Appendf(nil, "%s %s %s %d/%d 0\n", f[0], f[1], f[2], c.Running, c.Threads)
	case "stat":
		out := make([]byte, 0, len(text))
		lines(text, func(line []byte) {
			key, _, _ := bytes.Cut(line, []byte(" "))
			switch string(key) {
			case "processes":
				line = strconv.AppendUint([]byte("processes "), c.Processes, 10)
			case "procs_running":
				line = strconv.AppendUint([]byte("procs_running "), c.Running, 10)
			case "procs_blocked":
				line = strconv.AppendUint([]byte("procs_blocked "), c.Blocked, 10)
			}
			out = append(append(out, line...), '\n')
		})
		return out
	}
	return text
}

// CountsProcesses tells whether Limit changes the file of that name.
func CountsProcesses(name string) bool { return name == "loadavg" || name == "stat" }
