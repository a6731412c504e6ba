package privs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// rights are what a thread may, as its status file tells; see proc(5).
type rights struct {
	permitted, effective, inheritable, bounding, ambient Set
	noNewPrivs                                           Set // 0 or 1
}

// lines are the rights' names in a status file.
func (r *rights) lines() map[string]*Set {
	return map[string]*Set{
		"CapPrm": &r.permitted, "CapEff": &r.effective, "CapInh": &r.inheritable,
		"CapBnd": &r.bounding, "CapAmb": &r.ambient, "NoNewPrivs": &r.noNewPrivs,
	}
}

// readRights reads a status file.
func readRights(path string) (r rights, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	fields, found := r.lines(), 0
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		field, ours := fields[key]
		if !ours {
			continue
		}
		number, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return r, fmt.Errorf("%s: %s: %w", path, key, err)
		}
		*field = Set(number)
		found++
	}
	if found != len(fields) {
		return r, fmt.Errorf("%s tells only %d of the %d rights of a thread: is this a procfs of Linux 4.10 or later?", path, found, len(fields))
	}
	return r, nil
}

// verify makes sure that every thread in the directory of a process's threads
// has exactly these rights.
func verify(tasks string, want rights) error {
	entries, err := os.ReadDir(tasks)
	if err != nil {
		return err
	}
	seen := 0
	for _, e := range entries {
		got, err := readRights(filepath.Join(tasks, e.Name(), "status"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // a thread that has ended
		}
		if err != nil {
			return err
		}
		seen++
		if got != want {
			return fmt.Errorf("thread %s was to have {%v} and has {%v}", e.Name(), want, got)
		}
	}
	if seen == 0 {
		return fmt.Errorf("%s shows no thread", tasks)
	}
	return nil
}

// String is for messages: hexadecimal as in a status file, and the effective
// set by names.
func (r rights) String() string {
	return fmt.Sprintf("permitted %x, effective %x (%v), inheritable %x, bounding %x, ambient %x, no_new_privs %d",
		uint64(r.permitted), uint64(r.effective), r.effective, uint64(r.inheritable), uint64(r.bounding), uint64(r.ambient), r.noNewPrivs)
}
