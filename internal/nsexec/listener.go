package nsexec

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/nsexec/mountns"
	"github.com/aggrfs/aggrfs/internal/seccomp"
)

// filterName is the word by which this program is told to put the filter on itself and to become
// a command. The helper starts it so, with the number of a socket and the command: what has a
// capability is spared the work.
const filterName = "aggrfs-exec-filter"

// becomeFiltered is the program then. It returns an exit status when it cannot.
func becomeFiltered(socket string, argv []string) int {
	fd, err := strconv.Atoi(socket)
	if err != nil || fd < 3 {
		return CodeFailed
	}
	unix.CloseOnExec(fd)
	sendListener(fd)
	return mountns.Become("aggrfs exec", argv, os.Environ())
}

// Why there is no listener, as sendListener's byte.
const (
	listening = iota
	taken
	unknown
	failed // by the errno in the next byte
)

// sendListener puts the filter on this thread and sends the listener over the socket with the byte
// listening, or alone the byte that says why there is none.
func sendListener(socket int) {
	fd, err := seccomp.Install()
	var errno syscall.Errno
	errors.As(err, &errno)
	switch {
	case err == nil:
		unix.Sendmsg(socket, []byte{listening, 0}, unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
		unix.Close(fd)
	case errors.Is(err, seccomp.ErrTaken):
		unix.Sendmsg(socket, []byte{taken, 0}, nil, nil, unix.MSG_NOSIGNAL)
	case errors.Is(err, seccomp.ErrUnknown):
		unix.Sendmsg(socket, []byte{unknown, 0}, nil, nil, unix.MSG_NOSIGNAL)
	default:
		unix.Sendmsg(socket, []byte{failed, byte(errno)}, nil, nil, unix.MSG_NOSIGNAL)
	}
}

// listen takes what sendListener sends and hands it on. A command that could not be run has sent
// nothing.
func (s *session) listen(socket *os.File) error {
	if s.spec.Listen == nil {
		return nil
	}
	what, fd, err := takeDescriptor(socket, 2)
	switch {
	case err != nil:
		return fmt.Errorf("the listener of the command's filter: %w", err)
	case len(what) < 2:
		return nil
	case what[0] == listening && fd >= 0:
		s.spec.Listen(fd, s.process.Pid, nil)
		return nil
	case fd >= 0:
		unix.Close(fd)
	}
	why := map[byte]error{taken: seccomp.ErrTaken, unknown: seccomp.ErrUnknown}[what[0]]
	if why == nil {
		why = fmt.Errorf("install a seccomp filter: %w", syscall.Errno(what[1]))
	}
	s.spec.Listen(-1, 0, why)
	return nil
}

// takeDescriptor receives at most so many bytes, and the descriptor that was sent with them; -1
// is none. No bytes are that the other end has gone.
func takeDescriptor(socket *os.File, most int) (text []byte, fd int, err error) {
	conn, err := socket.SyscallConn()
	if err != nil {
		return nil, -1, err
	}
	text, rights := make([]byte, most), make([]byte, unix.CmsgSpace(4))
	var n, size int
	var got error
	err = conn.Read(func(fd uintptr) bool {
		n, size, _, _, got = unix.Recvmsg(int(fd), text, rights, unix.MSG_CMSG_CLOEXEC)
		return got != unix.EAGAIN && got != unix.EINTR
	})
	if err = errors.Join(err, got); err != nil {
		return nil, -1, err
	}
	fd = -1
	if messages, err := unix.ParseSocketControlMessage(rights[:size]); err == nil && len(messages) == 1 {
		if fds, err := unix.ParseUnixRights(&messages[0]); err == nil && len(fds) == 1 {
			fd = fds[0]
		}
	}
	return text[:n], fd, nil
}
