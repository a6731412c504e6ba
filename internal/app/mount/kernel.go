package mount

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

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
	tree, err := s.Mirror(ctx, "/proc", "/proc")
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
