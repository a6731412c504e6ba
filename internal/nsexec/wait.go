package nsexec

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// wait waits for the command and passes signals on to it.
func (s *session) wait(ctx context.Context, signals <-chan os.Signal) (int, error) {
	ended := make(chan error, 1)
	var state *os.ProcessState
	go func() {
		var err error
		state, err = s.process.Wait()
		ended <- err
	}()
	done := ctx.Done()
	var grace <-chan time.Time
	for {
		select {
		case err := <-ended:
			if err != nil {
				return CodeFailed, fmt.Errorf("wait for the command: %w", err)
			}
			return exitCode(state.Sys().(syscall.WaitStatus)), nil
		case sig := <-signals:
			pass(s.process, sig)
		case <-done:
			s.process.Signal(syscall.SIGTERM)
			done, grace = nil, time.After(killGrace)
		case <-grace:
			s.process.Kill()
		}
	}
}

// enterable tells whether a directory ("" is the working directory) is not what
// kept the stage from being started.
func enterable(dir string) bool {
	or(&dir, ".")
	return unix.Access(dir, unix.X_OK) == nil
}

func exitCode(w syscall.WaitStatus) int {
	if w.Signaled() {
		return CodeSignal + int(w.Signal())
	}
	return w.ExitStatus()
}
