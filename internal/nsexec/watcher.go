package nsexec

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/nsexec/mountns"
)

// The watcher's descriptors.
const (
	watcherSocket = 3 + iota // to the server
	watcherLock              // on the directory aside, see lockAside
	watcherProc              // the native procfs
)

// startWatcher starts the watcher as a child of our parent.
func startWatcher(socket, lock, proc int, s setup) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	attr := &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_PARENT}
	if s.Unprivileged {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
			return fmt.Errorf("drop the ambient capabilities: %w", err)
		}
		attr.AmbientCaps = watcherCaps
	}
	_, err = syscall.ForkExec(s.Aside+"/self/exe", []string{watcherName, "of", strconv.Itoa(os.Getppid())}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   append(os.Environ(), "GOMAXPROCS=1"),
		Files: []uintptr{null.Fd(), null.Fd(), 2, uintptr(socket), uintptr(lock), uintptr(proc)},
		Sys:   attr,
	})
	if err != nil {
		return fmt.Errorf("start the watcher: %w", err)
	}
	return nil
}

// watch waits until the server has gone and cleans up.
func watch([]string) int {
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGPIPE)
	for fd := watcherSocket; fd <= watcherProc; fd++ {
		unix.CloseOnExec(fd)
	}
	server := newPipe(watcherSocket, "server")
	lock := os.NewFile(watcherLock, "lock")
	proc := os.NewFile(watcherProc, procfs)
	if server.Encode(hello{PID: os.Getpid()}) != nil {
		return CodeFailed // the server has gone, and the stage goes with it
	}
	var g guard
	if server.Decode(&g) != nil {
		return CodeFailed
	}
	io.Copy(io.Discard, server.file) // ends with the server

	code := 0
	complain := func(err error) {
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", watcherName, err)
			code = CodeFailed
		}
	}
	if g.Tree != "" {
		complain(mountns.TakeAway(proc, g.Tree))
	}
	if err := unix.Unmount(g.Aside, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		complain(fmt.Errorf("unmount %s: %w", g.Aside, err))
	}
	complain(removeAside(lock, g.Aside))
	return code
}
