package nsexec

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// stageCaps are what the stage has in a user namespace of its own until the
// tree is mounted: the last is for giving up the others for good.
var stageCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SYS_TIME, unix.CAP_SETPCAP}

// watcherCaps are what the watcher keeps: unmounting is all that it does.
var watcherCaps = []uintptr{unix.CAP_SYS_ADMIN}

// stageAttr is how the stage is started: by root in a mount namespace of its
// own, by others in a user namespace, too.
func stageAttr(unprivileged bool) *syscall.SysProcAttr {
	if !unprivileged {
		return &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	}
	return &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, AmbientCaps: stageCaps}
}

// mapSelf maps this process' user and group in its user namespace to
// themselves. proc is the path of the native procfs.
//
// The stage does it, not the server: package syscall writes to /proc, where a
// server that runs under another one finds a tree.
func mapSelf(proc string, uid, gid int) error {
	for _, file := range []struct{ name, text string }{
		{"setgroups", "deny"},
		{"uid_map", fmt.Sprintf("%d %d 1", uid, uid)},
		{"gid_map", fmt.Sprintf("%d %d 1", gid, gid)},
	} {
		path := proc + "/self/" + file.name
		if err := os.WriteFile(path, []byte(file.text), 0); err != nil {
			return forbidden(proc, fmt.Errorf("user namespace: %w", err))
		}
	}
	return nil
}

// A limit is a sysctl that forbids ordinary users their user namespaces.
type limit struct{ name, forbids, remedy string }

var limits = []limit{
	{"user.max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"},
	{"kernel.unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"},
	{"kernel.apparmor_restrict_unprivileged_userns", "1", "sysctl kernel.apparmor_restrict_unprivileged_userns=0"},
}

// forbidden adds to an error that user namespaces are what is missing, and what
// helps, if it is one of those that the kernel gives then.
func forbidden(proc string, err error) error {
	refusals := []error{unix.EPERM, unix.EACCES, unix.ENOSPC, unix.EUSERS, unix.ENOSYS, unix.EINVAL}
	if !slices.ContainsFunc(refusals, func(e error) bool { return errors.Is(err, e) }) {
		return err
	}
	remedy := "sysctl user.max_user_namespaces, or what your security module says"
	for _, l := range limits {
		text, readErr := os.ReadFile(proc + "/sys/" + strings.ReplaceAll(l.name, ".", "/"))
		if readErr == nil && strings.TrimSpace(string(text)) == l.forbids {
			remedy = l.remedy
		}
	}
	return fmt.Errorf("%w: this machine does not let its users have user namespaces; install the helper aggrfs-ns, or use aggrfs mount DIR, or have them allowed (%s)", err, remedy)
}

// reopenDevice opens the device that is open as fd again, in its place. The
// kernel takes a FUSE mount in a user namespace only from a device that was
// opened there.
func reopenDevice(proc string, fd int) error {
	again, err := unix.Open(fmt.Sprintf("%s/self/fd/%d", proc, fd), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the FUSE device in the user namespace: %w", err)
	}
	defer unix.Close(again)
	if err := unix.Dup3(again, fd, unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("open the FUSE device in the user namespace: %w", err)
	}
	return nil
}

// sendDevice sends a byte and with it the device, or the byte alone (-1).
func sendDevice(socket, device int) error {
	var rights []byte
	if device >= 0 {
		rights = unix.UnixRights(device)
	}
	return unix.Sendmsg(socket, []byte{0}, rights, nil, 0)
}

// takeDevice receives what sendDevice sent and puts it in the place of the
// device that the server has opened.
func takeDevice(socket, device *os.File) error {
	conn, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	rights := make([]byte, unix.CmsgSpace(4))
	var n, size int
	var got error
	err = conn.Read(func(fd uintptr) bool {
		n, size, _, _, got = unix.Recvmsg(int(fd), make([]byte, 1), rights, unix.MSG_CMSG_CLOEXEC)
		return got != unix.EAGAIN && got != unix.EINTR
	})
	switch {
	case err != nil:
		return fmt.Errorf("the stage hangs: %w", err)
	case got != nil:
		return fmt.Errorf("the stage has ended: %w", got)
	case n == 0:
		return errors.New("the stage has ended")
	case size == 0:
		return nil // it says why
	}
	messages, err := unix.ParseSocketControlMessage(rights[:size])
	if err != nil || len(messages) != 1 {
		return fmt.Errorf("the stage sent no device: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return fmt.Errorf("the stage sent no device: %w", err)
	}
	defer unix.Close(fds[0])
	return withFD(device, func(fd int) error { return unix.Dup3(fds[0], fd, unix.O_CLOEXEC) })
}
