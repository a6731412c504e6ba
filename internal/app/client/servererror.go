package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/handover"
	"github.com/aggrfs/aggrfs/pkg/ninep"
)

// errNotOurs is a 9P server that is no aggrfs serve.
var errNotOurs = errors.New("it has no cluster/hints")

// errFirstMessage is what a client that tries dialects takes for another dialect: here it
// is not.
var errFirstMessage = errors.New("it closed the connection at the first message")

// serverError says what an error of the server at that address means, and the remedy.
// No answer of a server is ever an empty cluster: it leaves everything unknown.
func (e *Env) serverError(addr ninep.Addr, err error) error {
	if errors.As(err, new(exit.Error)) {
		return err // it has been said
	}
	return exit.NotKnown(e.meaning(addr, err))
}

func (e *Env) meaning(addr ninep.Addr, err error) error {
	var op *net.OpError
	dialing := errors.As(err, &op) && op.Op == "dial"
	var errno syscall.Errno
	errors.As(err, &errno)
	switch {
	case isSilence(err, errno):
		return fmt.Errorf("the server at %s does not answer (nothing came in %v), so it hangs, is overloaded, or has no file descriptors left (see its log): %s", addr, OpenTimeout, e.remedy(addr, "restart"))
	case dialing && addr.Network == "unix":
		return e.dialMeaning(addr, op.Err, errno)
	case dialing:
		return fmt.Errorf("no server answers at %s (%w): %s", addr, cause(op.Err, errno), e.remedy(addr, "start"))
	case errors.Is(err, errNotOurs):
		return fmt.Errorf("what answers at %s speaks 9P, but is no aggrfs serve (%w): is it a procsrv? Name a server with --server", addr, err)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		how := err
		if errors.Is(err, ninep.ErrDialect) {
			how = errFirstMessage
		}
		return fmt.Errorf("the server at %s hung up (%w): it has just ended or takes no more connections, or it is some other program's socket: %s", addr, how, e.remedy(addr, "start"))
	case errors.As(err, new(*ninep.ConnError)):
		return fmt.Errorf("what answers at %s does not speak as an aggrfs serve does (%w): is it some other program's socket? Name a server with --server", addr, err)
	case errno == syscall.EACCES || errno == syscall.EPERM:
		return fmt.Errorf("the server at %s refuses you (%w)", addr, errno)
	}
	return fmt.Errorf("server at %s: %w", addr, err)
}

// MountError says what an error of the server at that address means that was offered a mount.
func (e *Env) MountError(addr ninep.Addr, err error) error {
	var refusal *handover.Refusal
	switch {
	case err == nil || errors.As(err, new(exit.Error)):
		return err
	case errors.As(err, &refusal):
		return exit.NotKnown(fmt.Errorf("the server at %s does not serve the mount: %w", addr, refusal))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return exit.NotKnown(fmt.Errorf("the server at %s hung up when it was offered a mount (%w): it has just ended, or is older than this program: %s", addr, err, e.remedy(addr, "restart")))
	}
	return e.serverError(addr, err)
}

// isSilence reports whether err is that nothing came in time. A unix socket that takes no
// more connections says EAGAIN, see unix(7).
func isSilence(err error, errno syscall.Errno) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errno == syscall.ETIMEDOUT || errno == syscall.EAGAIN ||
		errors.As(err, &timeout) && timeout.Timeout()
}

// dialMeaning is meaning for a unix socket that cannot be connected to.
func (e *Env) dialMeaning(addr ninep.Addr, err error, errno syscall.Errno) error {
	st, statErr := os.Stat(addr.Address)
	switch {
	case errno == syscall.EACCES || errno == syscall.EPERM:
		return fmt.Errorf("you may not connect to %s (%w): the server lets all users connect, so check the modes of the directories above its socket. Name another with --server, or ask for this machine alone with --local", addr, errno)
	case statErr == nil && st.Mode()&fs.ModeSocket == 0:
		kind := kindOf(st.Mode())
		return fmt.Errorf("%s is no socket (%s): remove that %s and start the server%s%s", addr, kind, strings.TrimPrefix(kind, "a "), e.commandOf(addr, "start"), otherwise)
	case errno == syscall.EPROTOTYPE:
		return fmt.Errorf("%s is a socket of another kind (%w), so some other program's. Name a server with --server", addr, errno)
	case errno == syscall.ENOENT && addr.String() == e.DefaultServer && exists(e.InstalledConfig):
		return fmt.Errorf("no server answers at %s (there is no such socket, and there is a configuration, %s): %s", addr, e.InstalledConfig, e.remedy(addr, "start"))
	case errno == syscall.ENOENT:
		return fmt.Errorf("no server answers at %s (there is no such socket): %s", addr, e.remedy(addr, "start"))
	}
	return fmt.Errorf("no server answers at %s (%w): %s", addr, cause(err, errno), e.remedy(addr, "start"))
}

// cause is an error without the addresses that net puts around it, where it has a number.
func cause(err error, errno syscall.Errno) error {
	if errno != 0 {
		return errno
	}
	return err
}

// kindOf is what a file is that should be a socket.
func kindOf(mode fs.FileMode) string {
	return cmp.Or(map[fs.FileMode]string{0: "a file", fs.ModeDir: "a directory", fs.ModeNamedPipe: "a pipe"}[mode.Type()], "a "+mode.Type().String())
}

// remedy is what to do where a server does not serve. verb is what systemctl would.
func (e *Env) remedy(addr ninep.Addr, verb string) string {
	return verb + " it" + e.commandOf(addr, verb) + otherwise
}

// otherwise is what else to do.
const otherwise = ", name another with --server, or ask for this machine alone with --local"

// commandOf is where, or by which command, that is done.
func (e *Env) commandOf(addr ninep.Addr, verb string) string {
	switch {
	case addr.String() == e.DefaultServer:
		return " (systemctl " + verb + " aggrfs)"
	case addr.Network == "unix":
		return " (aggrfs serve)"
	}
	return " there"
}
