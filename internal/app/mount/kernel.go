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

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/pkg/ninep"
)

// byKernel mounts by the kernel's own 9P client, from the socket of a running server.
func byKernel(ctx context.Context, src *client.Source, dir string, shared bool) error {
	addr, err := kernelAddress(src)
	if err != nil {
		return err
	}
	if err := thisKernel().need9P(ctx, dir); err != nil {
		return err
	}
	if err := checkMountPoint(dir); err != nil {
		return err
	}
	path, err := checkServer(ctx, src)
	if err != nil {
		return err
	}
	source := addr.Address
	data, err := kernelOptions(path, shared)
	if err != nil {
		return err
	}
	const flags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount(source, dir, "9p", flags, data); err != nil {
		return fmt.Errorf("mount -t 9p -o %s %s %s: %w (dmesg may say more)", data, source, dir, err)
	}
	m := &kernelMount{dir: dir}
	if m.id, err = mountID(dir); err != nil {
		return errors.Join(err, unmount9P(dir))
	}
	src.Log.Info("mounted", "dir", dir, "source", source, "options", data)
	return m.stay(ctx, source)
}

// kernelAddress is the server whose socket the kernel can connect to itself; it then
// attaches as the user that makes the call, which is root.
func kernelAddress(s *client.Source) (ninep.Addr, error) {
	switch {
	case s.Config != "" || s.Local:
		return ninep.Addr{}, exit.Usagef("--config, --local: --type 9p mounts from a running server: start aggrfs serve with this configuration, or mount by FUSE")
	case s.As != "":
		return ninep.Addr{}, exit.Usagef("--as: with --type 9p root sees what root may see (and, with --allow-other, each user what they may): mount by FUSE")
	}
	addr, err := s.Address()
	if err == nil && addr.Network != "unix" {
		err = exit.Usagef("--server %s: --type 9p takes a unix: address only, over which the kernel tells the server who the user is", addr)
	}
	return addr, err
}

// kernelOptions are the options that mount(2) is told.
//
// With access=user each user's first access is an attach in that user's name; with
// access=0 nobody but root is let in. cache=none, because the client does not ask
// whether what it holds is still so, nor for whom it was. Frames are of 64 KiB,
// which nearly all of /proc fits in: Linux 6.1 allocates two of the largest size for
// every request, so that with 1 MiB ps takes a fifth longer.
func kernelOptions(path string, shared bool) (string, error) {
	if strings.Contains(path, ",") {
		return "", exit.Usagef("--nodes: an option of the kernel's mount can have no comma in it, and %s has one: name one range, or mount by FUSE", path)
	}
	access := "0"
	if shared {
		access = "user"
	}
	data := fmt.Sprintf("trans=unix,version=9p2000.L,cache=none,access=%s,msize=%d", access, kernelMsize)
	if path != "" {
		data += ",aname=" + path
	}
	return data, nil
}

// kernelMsize is the largest frame on a kernel's mount, in bytes.
const kernelMsize = 64 << 10

// checkServer tries the server before the kernel does, which would wait for it in
// a way that no signal ends, says what it lacks, and returns the path of the root that
// was asked for.
func checkServer(ctx context.Context, s *client.Source) (string, error) {
	tree, err := s.Connect(ctx)
	if err != nil {
		return "", fmt.Errorf("%w (--type 9p mounts from a running server; a mount by FUSE needs none)", err)
	}
	defer tree.Close()
	return tree.Path, tellLacks(ctx, s, tree)
}

// A kernelMount is one that lasts.
type kernelMount struct {
	dir string
	id  string // of the mount, see proc_pid_mountinfo(5)
}

const (
	// mountGap is how often the table of mounts is looked at.
	mountGap = 250 * time.Millisecond
	// aliveGap is how often the server is asked whether it is there.
	aliveGap = 2 * time.Second
)

// stay returns when the mount is gone, and takes it away when ctx ends or the
// server has ended.
func (m *kernelMount) stay(ctx context.Context, source string) error {
	tick := time.NewTicker(mountGap)
	defer tick.Stop()
	lost := make(chan error, 1)
	watched, stop := context.WithCancel(ctx)
	defer stop()
	// It is not waited for: a server that is there and does not answer keeps it in
	// the kernel.
	go m.ask(watched, lost)
	for {
		select {
		case <-ctx.Done():
			return m.end()
		case err := <-lost:
			return errors.Join(fmt.Errorf("the server at %s has ended (%w): mount again once it runs", source, err), m.end())
		case <-tick.C:
			if there, err := isMounted(m.id); err != nil || !there {
				return err
			}
		}
	}
}

// ask asks the server, as statfs(2) on its mount does, and says when it has ended:
// the kernel's client never connects again.
func (m *kernelMount) ask(ctx context.Context, lost chan<- error) {
	tick := time.NewTicker(aliveGap)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var st unix.Statfs_t
		err := unix.Statfs(m.dir, &st)
		if errors.Is(err, unix.EIO) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
			lost <- err
			return
		}
	}
}

// end takes the mount away if it is still there.
func (m *kernelMount) end() error {
	if there, err := isMounted(m.id); err != nil || !there {
		return err
	}
	return unmount9P(m.dir)
}

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
