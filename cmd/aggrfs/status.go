package main

import (
	"errors"
	"fmt"
	"os"
)

// Exit statuses; docs/commands.md has the table. Those of exec besides are of
// package nsexec.
const (
	statusFailed  = 1   // it failed, or what was asked for is known not to be there
	statusUsage   = 2   // the command line is wrong
	statusUnknown = 3   // the answer is not known, or with --strict not whole
	statusLacking = 120 // exec --strict: the tree lacked something while the command ran
)

// A statusError ends the program with a status of its own.
type statusError struct {
	status int
	error
}

// Unwrap implements errors.Unwrap.
func (e statusError) Unwrap() error { return e.error }

// usage is what is wrong with a command line.
func usage(format string, args ...any) error {
	return statusError{statusUsage, fmt.Errorf(format, args...)}
}

// notKnown makes err, unless it has a status, one that leaves the answer unknown. It
// is of every error of a command that answers a question: only what is known not to
// be there has statusFailed.
func notKnown(err error) error {
	if s := (statusError{}); err == nil || errors.As(err, &s) {
		return err
	}
	return statusError{statusUnknown, err}
}

// absent says that what was asked for is known not to be there.
func absent(format string, args ...any) error {
	return statusError{statusFailed, fmt.Errorf(format, args...)}
}

// notWhole is what --strict makes of an answer that lacks something, which has been
// said.
func notWhole() error {
	return statusError{statusUnknown, errors.New("--strict: the answer is not whole")}
}

// statusOf is the exit status of a command that ended with err.
func statusOf(err error) int {
	var s statusError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &s):
		return s.status
	}
	return statusFailed
}

// tell says on standard error what is not an error by itself.
func (a *app) tell(format string, args ...any) {
	out := a.stderr
	if out == nil {
		out = os.Stderr
	}
	fmt.Fprintf(out, "aggrfs: "+format+"\n", args...)
}
