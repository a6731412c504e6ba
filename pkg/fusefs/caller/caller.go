// Package caller is what a procfs tells of the thread that a request of a mount comes from.
package caller

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// ReadsLink reports whether what a thread waits for is the text of a link, by /proc/<tid>/syscall
// (proc_pid_syscall(5)): the kernel asks for it for readlink(2) and for a path that leads through the
// link alike. It is for threads that wait for an answer to that; of who cannot be looked at, or makes
// system calls of another architecture, it is not known, which is false.
func ReadsLink(proc string, tid uint32) bool {
	path := filepath.Join(proc, strconv.FormatUint(uint64(tid), 10), "syscall")
	for range 10 {
		text, err := os.ReadFile(path)
		if err != nil {
			return false
		}
		number, _, _ := bytes.Cut(text, []byte(" "))
		call, err := strconv.Atoi(string(number))
		if err == nil {
			return isReadlink(call)
		}
		// "running": it is about to wait.
	}
	return false
}

// isReadlink reports whether that is the number of readlink or readlinkat.
func isReadlink(call int) bool { return call == unix.SYS_READLINKAT || call == sysReadlink }

// ReadGroups reads the Groups line of /proc/<tid>/status, see proc(5).
func ReadGroups(proc string, tid uint32) ([]uint32, error) {
	status, err := os.ReadFile(filepath.Join(proc, strconv.FormatUint(uint64(tid), 10), "status"))
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(status))
	lines.Buffer(nil, len(status)+1) // 65536 groups make a line longer than Scanner's usual limit
	for lines.Scan() {
		list, ok := bytes.CutPrefix(lines.Bytes(), []byte("Groups:"))
		if !ok {
			continue
		}
		var groups []uint32
		for field := range bytes.FieldsSeq(list) {
			g, err := strconv.ParseUint(string(field), 10, 32)
			if err != nil {
				return nil, fmt.Errorf("the groups of thread %d: %w", tid, err)
			}
			groups = append(groups, uint32(g))
		}
		return groups, nil
	}
	return nil, fmt.Errorf("the status of thread %d has no Groups", tid)
}
