//go:build !manual

// Command procsrv is the leaf: it serves a node's /proc over 9P.
//
// By default it listens on a unix socket that only root can reach. It runs
// until SIGTERM or SIGINT.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/actor"
	"github.com/aggrfs/aggrfs/internal/privs"
	"github.com/aggrfs/aggrfs/internal/service"
)

// What others see of the process is its first thread: that one lends its rights to nobody
// (package procfs9p). It is main's alone only if it is locked before main begins.
func init() { runtime.LockOSThread() }

func main() {
	actor.MaybeRun()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := command(os.Stderr, confine).ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, service.Complaint(os.Stderr, "procsrv: "+err.Error()))
		os.Exit(1)
	}
}

// confine leaves the program those rights. It is for the process as a
// whole, so main has it and tests of the command do not.
func confine(log *slog.Logger, keep []privs.Want) error { return privs.Keep(log, keep) }
