package mountns

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A mountEntry is one line of proc_pid_mountinfo(5).
type mountEntry struct {
	id     string // the kernel gives it to another mount once this one has gone
	point  string // relative to the root of this process
	fstype string
}

// mountAt is the number of the FUSE mount that lies uppermost on a place for
// this process; "" when what lies there is something else. proc is the native
// procfs.
func mountAt(proc *os.File, point string) (id string, err error) {
	fd, err := unix.Openat(int(proc.Fd()), "thread-self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open thread-self/mountinfo of the native procfs: %w", err)
	}
	f := os.NewFile(uintptr(fd), "self/mountinfo")
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return "", err
	}
	return uppermost(parseMounts(string(text)), point), nil
}

// uppermost is mountAt for a table whose latest mount comes last.
func uppermost(table []mountEntry, point string) (id string) {
	for _, e := range slices.Backward(table) {
		if e.point == point {
			if strings.HasPrefix(e.fstype, "fuse") {
				return e.id
			}
			return ""
		}
	}
	return ""
}

func parseMounts(text string) []mountEntry {
	var table []mountEntry
	for line := range strings.Lines(text) {
		// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
		f := strings.Fields(line)
		if dash := slices.Index(f, "-"); dash > 5 && len(f) > dash+1 {
			table = append(table, mountEntry{id: f[0], point: unescape(f[4]), fstype: f[dash+1]})
		}
	}
	return table
}

// unescape undoes the kernel's \ooo for blanks, newlines and backslashes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
