// Command busy makes this machine busy while a command runs: "busy [flags] COMMAND [ARG...]".
//
// It starts loops, each of which takes a processor, and processes that only sleep, so that
// every list of processes is long; runs the command; and ends what it started, by pid. Its
// exit status is the command's. However it ends itself, what it started ends with it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// loopVariable makes this program a loop.
const loopVariable = "AGGRFS_BUSY_LOOP"

func main() {
	if os.Getenv(loopVariable) != "" {
		for n := uint64(1); n != 0; n++ { // for some centuries
		}
	}
	loops := flag.Int("loops", 10, "loops that take a processor each")
	sleepers := flag.Int("sleepers", 10_000, "processes that sleep")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "busy: no command")
		os.Exit(2)
	}
	// The kernel ends the children with the thread that started them.
	runtime.LockOSThread()
	status, err := run(*loops, *sleepers, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "busy:", err)
	}
	os.Exit(status)
}

// run runs the command beside the loops and sleepers and returns its exit status, or 1 with an
// error of its own.
func run(loops, sleepers int, argv []string) (status int, err error) {
	// A signal ends the command, and thereby this program.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)

	sleep, err := exec.LookPath("sleep")
	if err != nil {
		return 1, err
	}
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	var pids []int
	defer func() { err = errors.Join(err, end(pids)) }()
	start := func(program string, argv, env []string) error {
		// Not by package os, which would hold a file descriptor for each process.
		pid, err := syscall.ForkExec(program, argv, &syscall.ProcAttr{Env: env, Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}})
		if err == nil {
			pids = append(pids, pid)
		}
		return err
	}
	begun := time.Now()
	for range sleepers {
		if err := start(sleep, []string{"sleep", "infinity"}, nil); err != nil {
			return 1, fmt.Errorf("after %d processes: %w", len(pids), err)
		}
		if len(signals) > 0 {
			return 1, errors.New("interrupted")
		}
	}
	for range loops {
		if err := start(self, []string{"busy-loop"}, []string{loopVariable + "=1", "GOMAXPROCS=1"}); err != nil {
			return 1, fmt.Errorf("after %d processes: %w", len(pids), err)
		}
	}
	fmt.Fprintf(os.Stderr, "busy: %d loops and %d sleeping processes, started in %v\n", loops, sleepers, time.Since(begun).Round(time.Millisecond))

	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// A group of its own, for a signal to reach what the command has started as well.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			syscall.Kill(-cmd.Process.Pid, sig.(syscall.Signal))
		case err := <-ended:
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				return max(exit.ExitCode(), 1), nil
			}
			return 0, err
		}
	}
}

// end kills the processes, which are children, and waits for them.
func end(pids []int) error {
	var errs []error
	for _, pid := range pids {
		errs = append(errs, syscall.Kill(pid, syscall.SIGKILL))
	}
	for _, pid := range pids {
		for {
			_, err := syscall.Wait4(pid, nil, 0, nil)
			if err != syscall.EINTR {
				errs = append(errs, err)
				break
			}
		}
	}
	return errors.Join(errs...)
}
