// Package caller is what a procfs tells of the thread that a request of a mount comes from.
package caller

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ReadsLink reports whether what a thread waits for is the text of a link, by /proc/<tid>/syscall
// (proc_pid_syscall(5)): the kernel asks for it for readlink(2) and for a path that leads through the
// link alike. It is for threads that wait for an answer to that. One that is still on its way to
// waiting, on a busy CPU, is waited for, until ctx ends. Of one that may not be looked at it is not
// known.
func ReadsLink(ctx context.Context, proc string, tid uint32) (reads, known bool) {
	path := filepath.Join(proc, strconv.FormatUint(uint64(tid), 10), "syscall")
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		text, err := os.ReadFile(path)
		if err != nil {
			return false, false
		}
		if reads, known = isReadlink(string(text)); known {
			return reads, true
		}
		select {
		case <-ctx.Done():
			return false, false
		case <-time.After(pause):
		}
	}
}

// The pauses between looks at a thread that runs.
const (
	firstPause = 20 * time.Microsecond
	lastPause  = 5 * time.Millisecond
)

// isReadlink reports whether a thread of which that is told waits in readlink(2) or readlinkat(2);
// it is not known of one that runs.
func isReadlink(syscall string) (is, known bool) {
	fields := strings.Fields(syscall) // number, six arguments, stack pointer, program counter
	if len(fields) == 0 {
		return false, false
	}
	call, err := strconv.Atoi(fields[0])
	if err != nil {
		return false, false // "running"
	}
	if len(fields) == 9 && isSmall(fields[7]) && isSmall(fields[8]) {
		return slices.Contains(readlinks32, call), true
	}
	return call == unix.SYS_READLINKAT || call == sysReadlink, true
}

// isSmall reports whether a stack pointer or a program counter is one of a 32-bit program: both are
// below 4 GiB in no other.
func isSmall(pointer string) bool {
	n, err := strconv.ParseUint(pointer, 0, 64)
	return err == nil && n>>32 == 0
}

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
