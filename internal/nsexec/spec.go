package nsexec

import (
	"errors"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/nsexec/mountns"
)

// DefaultAside is where the native procfs is kept for root.
const DefaultAside = "/run/aggrfs-native"

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

	// Aside is the directory where the native procfs is kept, an absolute
	// path; "" is what Aside says.
	Aside string
	// BootOffset is how far CLOCK_BOOTTIME of the command is ahead of this
	// process', in whole seconds: so processes that are older than this
	// machine's boot have a start time. See CanShift.
	BootOffset time.Duration
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
