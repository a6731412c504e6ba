// Package nsexec runs a command in a mount namespace of its own, in which a
// FUSE tree lies over /proc and the native procfs is kept aside.
//
// # Model
//
// Three processes take part, all of them this program:
//
//   - The server calls [Run]. It stays in the namespace it was started in,
//     holds /dev/fuse and answers the tree's requests.
//   - The stage is its child, in a mount namespace of its own. It keeps the
//     native procfs aside, mounts the tree on /proc, and when the server
//     serves it becomes the command by execve(2). So the command is a child of
//     the server as if nothing were between: exit status, signals, terminal
//     and process group are natural.
//   - The watcher is a child of the server too (the stage clones it with
//     CLONE_PARENT) and lives in the stage's namespace, in a session of its
//     own. It waits until the server lets go of a socket, by closing it or by
//     dying, and then takes the tree away, so that the native procfs is seen
//     again.
//
// Both of the others are started as /proc/self/exe under a name that [Stage]
// knows, so the program calls Stage first thing in main.
//
// # Users
//
// Who is not root gets a user namespace together with the mount namespace. The
// user and the group are mapped to themselves, not to root; so nothing about the
// command is root's, and all other owners are nobody. The stage has its
// capabilities as ambient ones: CAP_SYS_ADMIN to mount, CAP_SYS_TIME for the
// clock, CAP_SETPCAP to give them up for good. Before it becomes the command it
// does, down to the bounding set, and sets no_new_privs. The watcher keeps
// CAP_SYS_ADMIN, which it has in that namespace only.
//
// Supplementary groups cannot be mapped without privileges, and setgroups(2) has
// to be forbidden for the group to be mapped. The kernel keeps them: the command
// has their rights as before, sees them as nogroup, and can neither drop them nor
// give files to them.
//
// A FUSE device can be mounted in a user namespace only if it was opened there,
// so the stage opens it again and sends it to the server.
//
// What is mounted in a namespace that root made cannot be taken off in one that
// a user made from it: the stage of a Run within a Run covers the outer tree with
// the native procfs.
//
// Where the program aggrfs-ns is installed with its capability it does the work
// of stage and watcher, without a user namespace; see cmd/aggrfs-ns, which has
// the protocol's other half, and startHelper. Package mountns is what both are made
// of.
//
// # Time
//
// The command can have a clock that is ahead ([Spec].BootOffset): the stage
// makes a time namespace, which it enters with execve(2). Nobody else is in it.
// The helper has no right to do so.
//
// # How it ends
//
// The command ends: the watcher takes the tree away, Run waits for it and
// returns. Processes that the command leaves behind see the native procfs at
// /proc from then on. With [Spec].Wait their end is waited for first: they come to be
// children of the server, which is their subreaper (PR_SET_CHILD_SUBREAPER in prctl(2)).
//
// The server is killed: nobody else holds /dev/fuse (the stage closes it once
// it is mounted, the watcher never has it), so the kernel aborts the connection
// and whoever waits in it gets an error at once; the watcher takes the tree
// away; the command runs on with the native procfs.
//
// The last process of a namespace takes the mounts in it along. They are never
// seen outside: the namespace only receives mounts (MS_SLAVE).
//
// The watcher is killed (by SIGKILL; it ignores the others): nothing happens
// until the server ends. Processes left then have a /proc that answers ENOTCONN.
//
// # The native procfs
//
// It is bound to a directory, and to a name in the tree itself ([Spec].Inside), where it goes along when
// the tree is bound to another place or another root is made. Either is a whole procfs, without
// which the kernel lets no user namespace below have a procfs of its own (mount_too_revealing in
// fs/namespace.c). The directory is what [Aside] says unless told otherwise. A user's
// is below $XDG_RUNTIME_DIR or in /tmp, and has to be the user's alone. It is made
// (0700) where it is missing, and then removed by the last watcher that used it;
// one that was made otherwise (0755) stays, for the helper needs it. Each holds a
// shared flock(2) on the directory: removing it under a running command would
// make the kernel drop the mount in that command's namespace. The directory is
// not below /run/aggrfs, which the daemon's service manager may empty.
//
// A command may run Run again: the inner namespace has only the inner tree.
//
// # Signals
//
// The command stays in the process group of the server, so that pipelines and
// job control are the shell's as usual: ^C and ^Z reach both. What is sent to
// the server alone is passed on: HUP, TERM, USR1, USR2 and CONT always; INT,
// QUIT and WINCH unless the server is in the foreground of its terminal, where
// they are the terminal's and the command has got them itself. A signal that
// the server was started to ignore stays ignored by the command.
//
// A server that is stopped by ^Z does not answer; the command is stopped then
// too, but not what it has put into other process groups.
package nsexec

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/nsexec/mountns"
)

// DefaultAside is where the native procfs is kept for root.
const DefaultAside = "/run/aggrfs-native"

// Inside is the name that the native procfs has in a tree, see Spec.
const Inside = mountns.Inside

// What Run returns when the command could not be run; env(1), timeout(1) and
// the shells use the same.
const (
	CodeFailed     = mountns.CodeFailed     // Run itself failed: there is an error, too
	CodeCannotExec = mountns.CodeCannotExec // the command was found and cannot be executed
	CodeNotFound   = mountns.CodeNotFound   // there is no such command
	CodeSignal     = 128                    // plus the number of the signal that ended the command
)

// Deadlines of the exchange with the stage and the watcher, neither of which
// waits for anything but the kernel.
const (
	setupDeadline = 10 * time.Second // from the start of the stage to the mount
	sweepDeadline = 10 * time.Second // for the watcher to take the tree away
	killGrace     = 5 * time.Second  // from SIGTERM to SIGKILL when the context ends
)

// A Mount is what mount(2) is told about the tree.
type Mount = mountns.Mount

// Spec says what to run and on which tree. Argv, Device, Mount and Serve are
// needed.
type Spec struct {
	Argv []string // the command and its arguments; looked up in the PATH of Env
	Env  []string // nil is the environment of this process
	Dir  string   // working directory; "" is that of this process
	// CPUs are where the command may run, to begin with; nil is where this thread may.
	CPUs  *unix.CPUSet
	Stdin *os.File // nil is that of this process, as for the next two
	// File descriptors above 2 that this process was started with are passed
	// on as well.
	Stdout, Stderr *os.File

	// Device is /dev/fuse, opened (blocking) and not mounted yet. It stays the
	// caller's. For a caller who is not root Run puts the device as the stage
	// has opened it in its place, before Serve is called.
	Device *os.File
	// Mount returns the arguments of mount(2), given the number that the
	// device has in the process that calls it.
	Mount func(fd int) Mount
	// Serve is called once the tree is mounted, before the command starts. It
	// must not wait for anything to be read from the tree but what the kernel
	// itself sends. Serving must go on until Run has returned.
	Serve func() error

	// Listen, if it is there, has the command's calls that name processes of other machines (see
	// package seccomp) sent to a listener. It is called once, before Run waits for the command, with
	// the listener's descriptor, which is the callee's from then on, and a process of the command's
	// mount namespace; or with why there is none, and the command runs without.
	Listen func(listener, pid int, why error)

	// Aside is the directory where the native procfs is kept, an absolute
	// path; "" is what Aside says.
	Aside string
	// Inside is the name in the tree's root on which the native procfs is mounted as well, once the
	// tree is served: Inside, or "" for none. A tree without that name goes without.
	Inside string
	// BootOffset is how far CLOCK_BOOTTIME of the command is ahead of this
	// process', in whole seconds: so processes that are older than this
	// machine's boot have a start time. See CanShift.
	BootOffset time.Duration
	// Wait has Run wait, when the command has ended, for what it has left in the background: so
	// long the tree stays. A signal that ends a session (HUP, INT, QUIT, TERM), or the end of the
	// context, ends the wait.
	Wait bool
	// Name stands before messages about the command; "" is "aggrfs exec".
	Name string
	// Log is told what goes wrong after the command has started; nil is
	// slog.Default.
	Log *slog.Logger
}

func (s Spec) complete() (Spec, error) {
	if len(s.Argv) == 0 || s.Device == nil || s.Mount == nil || s.Serve == nil {
		return s, errors.New("nsexec: Spec needs Argv, Device, Mount and Serve")
	}
	if err := checkBootOffset(s.BootOffset); err != nil {
		return s, err
	}
	if s.Inside != "" && s.Inside != Inside {
		return s, fmt.Errorf("nsexec: the native procfs is mounted on %q in a tree, not on %q", Inside, s.Inside)
	}
	or(&s.Stdin, os.Stdin)
	or(&s.Stdout, os.Stdout)
	or(&s.Stderr, os.Stderr)
	or(&s.Aside, Aside())
	or(&s.Name, "aggrfs exec")
	if s.Log == nil {
		s.Log = slog.Default()
	}
	if s.Env == nil {
		s.Env = os.Environ()
	}
	return s, nil
}

func or[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}
