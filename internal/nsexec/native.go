package nsexec

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/aggrfs/aggrfs/internal/nsexec/mountns"
)

const procfs = mountns.Procfs

// Native returns the path of the native procfs as this process sees it: /proc,
// or aside ("" is Aside) for a process that runs under Run.
func Native(aside string) (string, error) {
	or(&aside, Aside())
	places := []string{procfs, aside, DefaultAside}
	// A tree over /proc says itself where an outer Run has put it.
	if self, err := os.Readlink(procfs + "/self"); err == nil && filepath.IsAbs(self) {
		places = append(places, filepath.Dir(self))
	}
	for _, path := range places {
		if mountns.IsProcfs(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("no native procfs at %s or %s: mount one (mount -t proc proc %s)", procfs, aside, procfs)
}
