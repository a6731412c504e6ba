package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/test/figures"
)

const (
	// filterCalls is how many system calls of each kind a run makes, and filterRounds how many runs
	// there are of each kind: the least time is that without the machine's other work.
	filterCalls  = 1_000_000
	filterRounds = 9
)

// callsFigures is what the calls of programs below exec cost:
//
//   - filter: a loop of kill(getpid(), 0) and getppid with the filter against without
//   - psutil-iter: psutil's process_iter with each process's priority over the processes of a remote
//     leaf, against the same on that node
func callsFigures(ctx context.Context, of size) error {
	if err := filterFigure(ctx); err != nil {
		return err
	}
	return withServer(ctx, of, (*leaf).psutilFigure)
}

func filterFigure(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	least := make(map[string]time.Duration)
	for range filterRounds {
		for _, flag := range []string{"--no-control=false", "--no-control"} {
			took, err := seconds(exec.CommandContext(ctx, "bin/aggrfs", "exec", "--local", flag, "--", self, "call"))
			if err != nil {
				return err
			}
			if least[flag] == 0 || took[0] < least[flag] {
				least[flag] = took[0]
			}
		}
	}
	figures.Print("filter", least["--no-control=false"], least["--no-control"])
	return nil
}

// makeCalls is what runs below exec: it prints to stderr how long the calls took, in seconds.
func makeCalls() error {
	me := uintptr(unix.Getpid())
	start := time.Now()
	for range filterCalls {
		if _, _, errno := unix.RawSyscall(unix.SYS_KILL, me, 0, 0); errno != 0 {
			return errno
		}
		unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
	}
	_, err := fmt.Fprintln(os.Stderr, time.Since(start).Seconds())
	return err
}

// iterate prints how long psutil took, and how many processes it had a priority of.
const iterate = `
import sys, time, psutil
start = time.perf_counter()
n = sum(1 for p in psutil.process_iter(["nice"]) if p.info["nice"] is not None)
print(time.perf_counter() - start, n)`

func (l *leaf) psutilFigure(ctx context.Context) error {
	var ours, natives []time.Duration
	script := []string{"/usr/bin/python3", "-c", iterate}
	for range l.of.rounds {
		native, err := l.iterated(l.node.Command(ctx, script...))
		if err != nil {
			return err
		}
		argv := append([]string{"exec", "--server", l.address, "--nodes", "n1", "--"}, script...)
		took, err := l.iterated(exec.CommandContext(ctx, "bin/aggrfs", argv...))
		if err != nil {
			return err
		}
		ours, natives = append(ours, took), append(natives, native)
	}
	figures.Print("psutil-iter", slices.Min(ours), slices.Min(natives))
	return nil
}

func (l *leaf) iterated(cmd *exec.Cmd) (time.Duration, error) {
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%v: %w", cmd.Args, err)
	}
	text, count, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	s, err1 := strconv.ParseFloat(text, 64)
	n, err2 := strconv.Atoi(count)
	if err := errors.Join(err1, err2); err != nil {
		return 0, err
	}
	if n < l.of.procs {
		return 0, fmt.Errorf("psutil shows %d of %d processes", n, l.of.procs)
	}
	return time.Duration(s * float64(time.Second)), nil
}
