package mount

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// A kernel is where its file systems are listed, and how one is loaded.
type kernel struct {
	filesystems string
	load        func(ctx context.Context, module string) error
}

// thisKernel is that of this machine.
func thisKernel() kernel { return kernel{filesystems: "/proc/filesystems", load: modprobe} }

// loadTimeout bounds the loading of a module.
const loadTimeout = 10 * time.Second

// modprobe loads a module and what it needs.
func modprobe(ctx context.Context, module string) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "modprobe", module).CombinedOutput()
	if err != nil && len(out) > 0 {
		return fmt.Errorf("%s", bytes.TrimSpace(out))
	}
	return err
}

// need9P sees to it that the kernel has a 9P client, or says what to do without.
func (k kernel) need9P(ctx context.Context, dir string) error {
	has, err := k.has9P()
	if err != nil || has {
		return err
	}
	// The transport over sockets is a module of its own in newer kernels, and
	// loaded when it is asked for.
	loaded := k.load(ctx, "9p")
	if has, err = k.has9P(); err != nil || has {
		return err
	}
	why := "there is no 9p in " + k.filesystems
	if loaded != nil {
		why += "; modprobe 9p: " + loaded.Error()
	}
	return fmt.Errorf("this kernel has no 9P client (%s): mount by FUSE instead, with \"aggrfs mount %s\"", why, dir)
}

// has9P looks for a line "nodev	9p", see proc_filesystems(5).
func (k kernel) has9P() (bool, error) {
	text, err := os.ReadFile(k.filesystems)
	return slices.Contains(strings.Fields(string(text)), "9p"), err
}

// mountID is the number of the mount at a directory, as the kernel tells it of an
// open file; opened by its path alone, none of the mount's own server is asked.
func mountID(dir string) (string, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("%s, which has just been mounted: %w", dir, err)
	}
	defer unix.Close(fd)
	self, err := procfs.Self()
	if err != nil {
		return "", err
	}
	info, err := self.FDInfo(strconv.Itoa(fd))
	if err != nil {
		return "", err
	}
	if info.MntID == "" {
		return "", errors.New("the kernel does not tell the number of a mount (no mnt_id in /proc/self/fdinfo)")
	}
	return info.MntID, nil
}

// isMounted reports whether there is a 9P mount of that number, which is the first
// column of proc_pid_mountinfo(5).
func isMounted(id string) (bool, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, id+" ") {
			return strings.Contains(line, " - 9p "), nil
		}
	}
	return false, nil
}

// unmount9P takes a mount away, from under its users where there are any.
func unmount9P(dir string) error {
	err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EBUSY) {
		err = unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
	if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil // or somebody else has
	}
	return &os.PathError{Op: "unmount", Path: dir, Err: err}
}
