package nsexec

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const procfs = "/proc"

// Native returns the path of the native procfs as this process sees it: /proc,
// or aside ("" is DefaultAside) for a process that runs under Run.
func Native(aside string) (string, error) {
	or(&aside, DefaultAside)
	for _, path := range []string{procfs, aside} {
		if isProcfs(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("no native procfs at %s or %s: mount one (mount -t proc proc %s)", procfs, aside, procfs)
}

func isProcfs(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.PROC_SUPER_MAGIC
}
