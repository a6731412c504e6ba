// Command aggrfs-ns is the helper of aggrfs exec for ordinary users: it has the
// file capability cap_sys_admin, which mounting takes, so that their commands
// need no user namespace, in which all other users are nobody.
//
// # What it does
//
//	aggrfs-ns run SOCKET DEVICE COMMAND [ARG...]
//
// makes a mount namespace that mounts do not leave, binds the native procfs to
// /run/aggrfs-native, mounts the FUSE device that is open as descriptor DEVICE
// on /proc, for the real user and group of the caller, and says on the socket
// that is open as descriptor SOCKET that it has. When it is told to there it
// starts the command as another child of its parent's, gives its number, and
// waits until the socket's other end is closed; then it takes the tree away and
// ends. It is the watcher of package nsexec, in other words.
//
//	aggrfs-ns become COMMAND [ARG...]
//
// is how it starts the command: it gives up all capabilities for good, sets
// no_new_privs, so that no program trusts a /proc that a user's program serves,
// and executes the command.
//
// # What a caller can choose
//
// The command, its environment, and the FUSE device. Where things are mounted,
// and with which options, is written here. The environment is the command's alone:
// aggrfs exec hands it over under other names (mountns.Hide), none of which the Go
// runtime knows. That reads GODEBUG, GOGC, GOMAXPROCS and more before anything here
// runs; so, if a caller hands the environment over as it is, the program does nothing
// but execute itself anew with those names. No file is read or written with more
// rights than the caller has; what it says before the capability is gone goes to
// a unix socket. Both ways may be called by hand: they do nothing that aggrfs
// exec does not do for its user.
//
// The capability is only that of this program's file:
//
//	setcap cap_sys_admin+ep /usr/local/libexec/aggrfs/aggrfs-ns
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/nsexec/mountns"
)

// name stands before messages about the command.
const name = "aggrfs exec"

const usage = "aggrfs-ns is run by aggrfs exec: see aggrfs exec --help"

func main() {
	// Capabilities and namespaces are those of a thread: all is done on one.
	runtime.LockOSThread()
	args := os.Args
	if len(args) > 1 && !mountns.Hidden(os.Environ()) {
		os.Exit(fail(again(args)))
	}
	switch {
	case len(args) >= 5 && args[1] == "run":
		os.Exit(run(args[2], args[3], args[4:]))
	case len(args) >= 3 && args[1] == "become":
		if err := mountns.Drop(); err != nil {
			os.Exit(fail(err))
		}
		os.Exit(mountns.Become(name, args[2:], mountns.Shown(os.Environ())))
	}
	os.Exit(fail(errors.New(usage)))
}

// again executes this program anew, with an environment of which the Go runtime
// knows nothing: until then it does nothing else.
func again(args []string) error {
	err := syscall.Exec("/proc/self/exe", args, mountns.Hide(os.Environ()))
	return fmt.Errorf("execute this program anew, by /proc/self/exe: %w", err)
}

// fail says on stderr, without any capability, what is wrong.
func fail(err error) int {
	if mountns.Drop() == nil {
		fmt.Fprintln(os.Stderr, "aggrfs-ns:", err)
	}
	return mountns.CodeFailed
}
