package fusefs

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

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
