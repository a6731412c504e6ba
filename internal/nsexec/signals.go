package nsexec

import (
	"os"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// passed are the signals that go on to the command. STOP and KILL cannot be
// caught; TSTP, TTIN and TTOU stop this process together with the command.
var passed = []os.Signal{
	syscall.SIGHUP, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCONT,
	syscall.SIGINT, syscall.SIGQUIT, syscall.SIGWINCH,
}

// fromTerminal are those that the terminal sends to its whole foreground
// process group, see termios(3) and tty_ioctl(4).
var fromTerminal = []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGWINCH}

// catch has the signals that go on sent to the channel, and keeps SIGPIPE from
// ending this process. A signal that is ignored is left alone: a handler would
// make execve(2) reset it to its default (nohup(1) relies on that).
func catch() chan os.Signal {
	signals := make(chan os.Signal, 16)
	for _, s := range append([]os.Signal{syscall.SIGPIPE}, passed...) {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	return signals
}

// pass sends s on to the process, unless that has got it as well.
func pass(p *os.Process, s os.Signal) {
	if !slices.Contains(passed, s) || slices.Contains(fromTerminal, s) && inForeground() {
		return
	}
	p.Signal(s) // fails only when the process has ended
}

// inForeground tells whether this process is in the foreground process group
// of its controlling terminal.
func inForeground() bool {
	tty, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false // there is none
	}
	defer unix.Close(tty)
	group, err := unix.IoctlGetInt(tty, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
