package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/nsexec/mountns"
)

// aside is where the native procfs is kept. Only root can write in /run.
const aside = "/run/aggrfs-native"

// run is the program until the tree is taken away again. It returns an exit
// status.
func run(socketArg, deviceArg string, command []string) int {
	if err := checkCaller(); err != nil {
		return fail(err)
	}
	socket, err := takeSocket(socketArg)
	if err != nil {
		return fail(err)
	}
	device, err := takeDevice(deviceArg)
	if err != nil {
		say(socket, "failed "+err.Error())
		return mountns.CodeFailed
	}
	stay()
	proc, tree, err := lay(device)
	if err != nil {
		say(socket, "failed "+err.Error())
		return mountns.CodeFailed // what is mounted goes with the namespace
	}
	unix.Close(device) // or readers would wait when the server has gone
	say(socket, "mounted")
	if !told(socket) {
		return mountns.CodeFailed
	}
	err = mountns.MountInside(aside, mountns.Inside)
	if err == nil {
		err = mountns.CoverCPUs()
	}
	var pid int
	if err == nil {
		pid, err = start(command)
	}
	if err != nil {
		say(socket, "failed "+err.Error())
		return mountns.CodeFailed
	}
	leave()
	say(socket, fmt.Sprint("started ", pid))
	for told(socket) {
	}
	err = mountns.TakeAway(proc, tree)
	if err := errors.Join(err, unix.Unmount(aside, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)); err != nil {
		return mountns.CodeFailed // the server logs it
	}
	return 0
}

// lay makes the namespace and mounts the tree. It returns the native procfs and
// the mount's number.
func lay(device int) (proc *os.File, tree string, err error) {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return nil, "", fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := mountns.KeepIn(); err != nil {
		return nil, "", err
	}
	if err := checkAside(); err != nil {
		return nil, "", err
	}
	if !mountns.IsProcfs(mountns.Procfs) {
		return nil, "", errors.New(mountns.Procfs + " is not the native procfs")
	}
	if err := mountns.Bind(mountns.Procfs, aside); err != nil {
		return nil, "", err
	}
	if proc, err = os.Open(aside); err != nil {
		return nil, "", err
	}
	tree, err = mountns.MountTree(mountns.Mount{
		Source: "aggrfs", FSType: "fuse.aggrfs",
		Flags: unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC,
		Data:  fmt.Sprintf("fd=%d,rootmode=%o,user_id=%d,group_id=%d", device, unix.S_IFDIR, unix.Getuid(), unix.Getgid()),
	}, proc)
	return proc, tree, err
}

// start starts the command by this program, as a child of our parent: see
// "become", which gives the capability up before anything of the caller's is
// executed.
func start(command []string) (pid int, err error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("set no_new_privs: %w", err)
	}
	pid, err = syscall.ForkExec(aside+"/self/exe", append([]string{"aggrfs-ns", "become"}, command...), &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2},
		Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_PARENT},
	})
	if err != nil {
		return 0, fmt.Errorf("start the command: %w", err)
	}
	return pid, nil
}

// stay keeps the signals that end a session from ending this process. They are
// caught, not ignored, where they are not ignored yet: the command shall get
// them as the caller has.
func stay() {
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGPIPE} {
		if !signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}

// leave lets go of the terminal, the working directory and the standard
// streams, which are the command's. What fails is let be.
func leave() {
	unix.Setsid()
	unix.Chdir("/")
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	for fd := range 3 {
		unix.Dup3(null, fd, 0)
	}
	unix.Close(null)
}

// say sends a line to the server. If that has gone, told says so.
func say(socket int, text string) {
	unix.SendmsgN(socket, []byte(text+"\n"), nil, nil, unix.MSG_NOSIGNAL)
}

// told waits for a byte of the server's; false is that it has gone.
func told(socket int) bool {
	for {
		n, err := unix.Read(socket, make([]byte, 1))
		if err != unix.EINTR {
			return err == nil && n == 1
		}
	}
}
