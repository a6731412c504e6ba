//go:build !manual

// Command aggrfs shows the processes of a cluster as one /proc: it serves the
// merged tree over 9P (serve), mounts it (mount), and runs commands such as ps
// and top on it (exec).
package main

import (
	"context"
	"os"
	"runtime"

	"github.com/aggrfs/aggrfs/internal/command"
	"github.com/aggrfs/aggrfs/internal/nsexec"
)

// What others see of the process is its first thread: that one lends its rights to nobody
// (package procfs9p). It is main's alone only if it is locked before main begins.
func init() { runtime.LockOSThread() }

func main() {
	nsexec.Stage()  // does not return in the processes that exec starts
	command.Stage() // nor in those that run a command of the configuration
	// exec handles signals itself: they are the command's.
	os.Exit(newApp().execute(context.Background(), os.Args[1:], os.Stdout))
}
