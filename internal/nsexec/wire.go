package nsexec

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The exchange, one JSON value a message, on two socket pairs:
//
//	server → stage    setup
//	stage → server    the device (see takeDevice), from a user namespace only
//	stage → server    prepared
//	watcher → server  hello
//	server → stage    proceed: the watcher needs no /proc to start any more
//	stage → server    prepared, with the mount
//	server → watcher  guard
//	server → stage    proceed: the tree is served
//	                  the stage becomes the command: its socket closes
//	server → watcher  closes: the watcher takes the tree away and ends
//
// Between the mount and serving whoever touches /proc waits, and a program may
// touch it to start (the race detector's runtime does): hence the first proceed.
type (
	setup struct {
		Name         string
		Aside        string
		Native       string // where the native procfs is at first
		Mount        Mount
		BootOffset   time.Duration
		Unprivileged bool // in a user namespace, for the user and group that follow
		UID, GID     int
	}
	prepared struct {
		Failed string // what went wrong; then it is the stage's last message
		Tree   string // number of the tree's mount, as in proc_pid_mountinfo(5); "" before it is mounted
	}
	hello struct{ PID int }
	guard struct {
		Tree  string
		Aside string
	}
	proceed struct{}
)

// A pipe is one end of a socket pair that carries JSON values.
type pipe struct {
	file *os.File
	*json.Encoder
	*json.Decoder
}

func newPipe(fd int, name string) pipe {
	f := os.NewFile(uintptr(fd), name)
	return pipe{f, json.NewEncoder(f), json.NewDecoder(f)}
}

// socketPair returns an end for this process, which has deadlines, and a bare
// descriptor for a child. Both are close-on-exec.
func socketPair(name string) (pipe, int, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return pipe{}, -1, fmt.Errorf("socket pair for the %s: %w", name, err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return pipe{}, -1, fmt.Errorf("socket pair for the %s: %w", name, err)
	}
	return newPipe(fds[0], name), fds[1], nil
}
