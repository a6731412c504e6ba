package nsexec

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/nsexec/mountns"
)

// The names that this program is started under as one of the other two.
const (
	stageName   = "aggrfs-exec-stage"
	watcherName = "aggrfs-exec-watcher"
)

// Stage is to be called first thing in main. In a process that Run started it
// does that process' work and does not return; in any other it does nothing.
func Stage() {
	// What a process may, and which time it has, is a matter of its threads: each
	// does all of its work, and becomes the command, on one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	switch os.Args[0] {
	case stageName:
		os.Exit(stage(os.Args[1:]))
	case clockName:
		os.Exit(tryClock(os.Args[1:]))
	case watcherName:
		os.Exit(watch(os.Args[1:]))
	}
}

// Stage arguments: the number of the first of our three descriptors, which are
// a socket to the server, one for the watcher, and /dev/fuse; then the command.
const stageFiles = 3

// stage makes the namespace and becomes the command. It returns an exit status
// when it cannot.
func stage(args []string) int {
	first, err := strconv.Atoi(args[0])
	if err != nil {
		return CodeFailed
	}
	for fd := first; fd < first+stageFiles; fd++ {
		unix.CloseOnExec(fd)
	}
	server := newPipe(first, "server")
	var s setup
	if err := server.Decode(&s); err != nil {
		return CodeFailed // the server has gone
	}
	err = enter(s, first, first+2)
	if err == nil {
		err = prepare(s, server, first+1, first+2)
	}
	if err != nil {
		server.Encode(prepared{Failed: err.Error()})
		return CodeFailed
	}
	if server.Decode(&proceed{}) != nil {
		return CodeFailed
	}
	if s.Unprivileged {
		if err := mountns.Drop(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", s.Name, err)
			return CodeFailed
		}
	}
	return mountns.Become(s.Name, args[1:], os.Environ())
}

// enter makes a user namespace ready: this user is in it, the device is opened
// there, and the server has it. The descriptors are the server's socket and
// /dev/fuse.
func enter(s setup, socket, fuse int) error {
	if !s.Unprivileged {
		return nil
	}
	device := fuse
	err := mapSelf(s.Native, s.UID, s.GID)
	if err == nil {
		err = reopenDevice(s.Native, fuse)
	}
	if err != nil {
		device = -1
	}
	return errors.Join(err, sendDevice(socket, device))
}

// prepare lays the namespace out, starts the watcher and mounts the tree. The
// descriptors are the watcher's socket and /dev/fuse, which it closes.
func prepare(s setup, server pipe, watch, fuse int) error {
	defer unix.Close(fuse)
	proc, err := prepareWatched(s, watch)
	if err != nil {
		return err
	}
	defer proc.Close()
	// From here on the watcher cleans up.
	if err := server.Encode(prepared{}); err != nil {
		return err
	}
	if err := server.Decode(&proceed{}); err != nil {
		return err
	}
	if err := shiftClock(s.Aside, s.BootOffset); err != nil && !noTimeNamespaces(err) {
		return err
	}
	tree, err := mountns.MountTree(s.Mount, proc)
	if err != nil && s.Unprivileged {
		err = forbidden(s.Native, err) // FUSE in a user namespace takes Linux 4.18
	}
	if err != nil {
		return err
	}
	return server.Encode(prepared{Tree: tree})
}

// prepareWatched is prepare up to the watcher's start. It returns the native
// procfs.
func prepareWatched(s setup, watch int) (proc *os.File, err error) {
	defer unix.Close(watch)
	lock, err := lockAside(s.Aside)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := layOut(s.Aside, s.Native, s.Unprivileged); err != nil {
		removeAside(lock, s.Aside) // what is mounted goes with the namespace
		if s.Unprivileged {
			err = forbidden(s.Native, err)
		}
		return nil, err
	}
	if proc, err = os.Open(s.Aside); err != nil {
		return nil, withdraw(s.Aside, lock, err)
	}
	if err := startWatcher(watch, int(lock.Fd()), int(proc.Fd()), s); err != nil {
		proc.Close()
		return nil, withdraw(s.Aside, lock, err)
	}
	return proc, nil
}

// withdraw undoes lockAside and layOut and returns err.
func withdraw(aside string, lock *os.File, err error) error {
	unix.Unmount(aside, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	removeAside(lock, aside)
	return err
}
