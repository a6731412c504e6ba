package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Who is not root mounts through fusermount3(1), which belongs to libfuse and is
// setuid root: it opens the device, mounts it on a directory that is the caller's
// to write, and sends the open device back over a socket whose number is in
// _FUSE_COMMFD.

const (
	fusermount     = "fusermount3"
	fusermountTime = 10 * time.Second
)

// byFusermount mounts dir for the calling user and returns the mounted device.
func byFusermount(dir string, o Options) (*os.File, error) {
	if o.Shared {
		return nil, errors.New("only root may mount for all users")
	}
	dir, err := filepath.Abs(dir) // fusermount3 has a working directory of its own choice
	if err != nil {
		return nil, err
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "fusermount"), os.NewFile(uintptr(fds[1]), "fusermount")
	defer ours.Close()
	options := "fsname=" + o.Source + ",subtype=aggrfs,ro,nosuid,nodev,noexec"
	err = runFusermount([]*os.File{theirs}, "-o", options, "--", dir)
	theirs.Close()
	if err != nil {
		return nil, err
	}
	dev, err := receiveDevice(ours)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s sent no device: %w", fusermount, err), unmountByFusermount(dir))
	}
	return dev, nil
}

// runFusermount runs it to its end; what it complains of is the error.
func runFusermount(files []*os.File, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), fusermountTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, fusermount, args...)
	cmd.ExtraFiles = files
	cmd.Env = append(os.Environ(), "_FUSE_COMMFD=3", "LC_ALL=C")
	cmd.WaitDelay = time.Second
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("there is no %s, by which users mount; install the package fuse3, or mount as root", fusermount)
	case err != nil && complaint.Len() > 0:
		return errors.New(strings.TrimSpace(complaint.String()))
	case err != nil:
		return fmt.Errorf("%s: %w", fusermount, err)
	}
	return nil
}

// receiveDevice takes the descriptor that comes with one byte, see unix(7),
// SCM_RIGHTS.
func receiveDevice(socket *os.File) (*os.File, error) {
	conn, err := net.FileConn(socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(fusermountTime)); err != nil {
		return nil, err
	}
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.(*net.UnixConn).ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil && len(fds) == 1 {
			unix.CloseOnExec(fds[0])
			return os.NewFile(uintptr(fds[0]), devicePath), nil
		}
	}
	return nil, errors.New("there is no descriptor in its message")
}

// unmountByFusermount takes a mount of byFusermount away, from under its users
// where there are any.
func unmountByFusermount(dir string) error {
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = runFusermount(nil, "-u", "--", dir)
	}
	if err != nil && isFUSE(dir) {
		err = runFusermount(nil, "-u", "-z", "--", dir)
	}
	if !isFUSE(dir) {
		return nil // it, or somebody else, has taken it away
	}
	return err
}

// isFUSE reports whether a FUSE file system is at dir, dead or alive.
func isFUSE(dir string) bool {
	var st unix.Statfs_t
	err := unix.Statfs(dir, &st)
	return err == nil && st.Type == unix.FUSE_SUPER_MAGIC || errors.Is(err, unix.ENOTCONN)
}
