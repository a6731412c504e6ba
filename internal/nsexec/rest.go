package nsexec

import (
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

// restGap is how often it is looked for what the command has left.
const restGap = 100 * time.Millisecond

// adopt has what the command leaves become this process' children.
func adopt() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
}

// awaitRest waits until this process has no child but the watcher, see Spec.Wait.
func (s *session) awaitRest(ctx context.Context, signals <-chan os.Signal) error {
	native, err := Native(s.spec.Aside)
	if err != nil {
		return err
	}
	tick := time.NewTicker(restGap)
	defer tick.Stop()
	for {
		rest, err := children(native)
		if err != nil {
			return fmt.Errorf("what the command has left cannot be waited for: %w", err)
		}
		rest = slices.DeleteFunc(rest, func(pid int) bool {
			if pid == s.watcherPID {
				return true
			}
			ended, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
			return ended == pid || err == unix.ECHILD
		})
		if len(rest) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		case sig := <-signals:
			if slices.Contains([]os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM}, sig) {
				return nil
			}
		}
	}
}

// children are those of this process. native is the native procfs.
func children(native string) (pids []int, err error) {
	lists, err := filepath.Glob(native + "/self/task/*/children")
	if err == nil && len(lists) == 0 {
		err = fmt.Errorf("%s/self/task/*/children: %w (the kernel was made without CONFIG_PROC_CHILDREN)", native, os.ErrNotExist)
	}
	for _, list := range lists {
		text, readErr := os.ReadFile(list)
		if readErr != nil {
			continue // a thread that has ended; its children are another's
		}
		for _, word := range strings.Fields(string(text)) {
			pid, atoiErr := strconv.Atoi(word)
			if atoiErr != nil {
				return nil, atoiErr
			}
			pids = append(pids, pid)
		}
	}
	return pids, err
}
