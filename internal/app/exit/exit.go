// Package exit has the exit statuses of the commands, and the errors that carry them:
// docs/commands.md has the table. Those that exec has besides are of package nsexec.
package exit

import (
	"errors"
	"fmt"
)

// The exit statuses.
const (
	Failed  = 1   // it failed, or what was asked for is known not to be there
	Usage   = 2   // the command line is wrong
	Unknown = 3   // the answer is not known, or with --strict not complete
	Lacking = 120 // exec --strict: the tree lacked something while the command ran
)

// An Error ends the program with a status of its own.
type Error struct {
	Status int
	error
}

// Unwrap implements errors.Unwrap.
func (e Error) Unwrap() error { return e.error }

// Usagef is what is wrong with a command line.
func Usagef(format string, args ...any) error { return Error{Usage, fmt.Errorf(format, args...)} }

// Absentf is that what was asked for is known not to be there.
func Absentf(format string, args ...any) error { return Error{Failed, fmt.Errorf(format, args...)} }

// NotKnown gives err, unless it has a status, one that leaves the answer unknown. It is for
// every error of a command that answers a question: Failed is only for what is known not to be
// there.
func NotKnown(err error) error {
	if err == nil || errors.As(err, new(Error)) {
		return err
	}
	return Error{Unknown, err}
}

// NotComplete is what --strict makes of an answer that lacks something, which has been said.
func NotComplete() error {
	return Error{Unknown, errors.New("--strict: the answer is not complete")}
}

// Status is the exit status of a command that ended with err.
func Status(err error) int {
	var e Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.Status
	}
	return Failed
}
