package procfile

import (
	"fmt"

	"github.com/prometheus/procfs"
)

// BootTime is the btime of the procfs that is mounted at root, in seconds since the
// epoch.
func BootTime(root string) (seconds int64, err error) {
	err = Local(root, func(fs procfs.FS) error {
		stat, err := fs.Stat()
		seconds = int64(stat.BootTime)
		return err
	})
	return seconds, err
}

// ThreadGroup is the process that a thread is part of, by the procfs that is mounted at
// root.
func ThreadGroup(root string, tid int) (pid int, err error) {
	err = Local(root, func(fs procfs.FS) error {
		thread, err := fs.Proc(tid)
		if err != nil {
			return err
		}
		status, err := thread.NewStatus()
		pid = status.TGID
		return err
	})
	return pid, err
}

// Local reads a procfs of this machine, mounted at root, with the field's parser. That
// panics on some files that are not as it expects, which is an error here.
func Local(root string, read func(fs procfs.FS) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("read %s: %v", root, r)
		}
	}()
	fs, err := procfs.NewFS(root)
	if err != nil {
		return err
	}
	return read(fs)
}
