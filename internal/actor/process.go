package actor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/control"
	"github.com/aggrfs/aggrfs/internal/privs"
)

// What the processes call themselves, as argv[0].
const (
	templateName = "procsrv-template"
	actorName    = "procsrv-actor"
)

// socketFD is the socket of a template, or of an actor.
const socketFD = 3

// restTime is how long an actor has nothing to do before it ends.
const restTime = 10 * time.Second

// MaybeRun makes the process a template or an actor, if it was started as one, and does not
// return then. It is called first in main.
func MaybeRun() {
	var run func() error
	switch os.Args[0] {
	case templateName:
		run = runTemplate
	case actorName:
		run = func() error { return runActor(os.Args[1:]) }
	default:
		return
	}
	if err := run(); err != nil {
		os.Exit(1) // nobody is there to be told; the socket ends with it
	}
	os.Exit(0)
}

// runTemplate starts an actor for each request on the socket, until that ends. A request is the
// actor's number, "start" and its user, with the actor's socket as a descriptor; or its number
// and "kill". When an actor has ended the template says so, by its number.
func runTemplate() error {
	if err := privs.Pass(privs.Actor()); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	var mu sync.Mutex
	running := make(map[string]*os.Process) // guarded by mu
	for {
		text, fds, err := receive(socketFD)
		if err != nil || text == "" {
			return err
		}
		words := splitNUL(text)
		if len(words) < 2 {
			closeAll(fds)
			return syscall.EBADMSG
		}
		id := words[0]
		if words[1] == "kill" {
			closeAll(fds)
			mu.Lock()
			if p := running[id]; p != nil {
				_ = p.Kill() // EPERM without CAP_KILL: it ends when it is continued
			}
			mu.Unlock()
			continue
		}
		if len(fds) != 1 {
			closeAll(fds)
			return syscall.EBADMSG
		}
		socket := os.NewFile(uintptr(fds[0]), "socket")
		cmd := &exec.Cmd{
			Path: "/proc/self/exe", Args: append([]string{actorName}, words[2:]...),
			Dir: "/", Env: []string{"GOMAXPROCS=1"}, ExtraFiles: []*os.File{socket},
			// Whoever is in a session may have the others in it go on (SIGCONT, kill(2)).
			SysProcAttr: &syscall.SysProcAttr{Setsid: true},
		}
		err = cmd.Start()
		socket.Close()
		if err != nil {
			_ = unix.Send(socketFD, []byte(id), unix.MSG_NOSIGNAL) // its socket has ended, which is the error
			continue
		}
		mu.Lock()
		running[id] = cmd.Process
		mu.Unlock()
		go func() {
			_ = cmd.Wait() // however it ended
			mu.Lock()
			delete(running, id)
			mu.Unlock()
			_ = unix.Send(socketFD, []byte(id), unix.MSG_NOSIGNAL)
		}()
	}
}

// runActor becomes the user that the arguments name, and carries out jobs until there are none
// any more.
func runActor(args []string) error {
	runtime.LockOSThread()
	if err := become(args); err != nil {
		// The first answer says why there will be none.
		_ = unix.Send(socketFD, control.AppendAnswer(nil, control.Answer{Errno: syscall.EACCES, Text: err.Error()}), unix.MSG_NOSIGNAL)
		return err
	}
	for {
		ready := []unix.PollFd{{Fd: socketFD, Events: unix.POLLIN}}
		n, err := unix.Poll(ready, int(2*restTime/time.Millisecond)) // the pool ends it sooner
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil || n == 0:
			return err
		}
		text, fds, err := receive(socketFD)
		if err != nil || text == "" {
			return err
		}
		answer := carryOut(text, fds)
		closeAll(fds)
		if err := unix.Send(socketFD, control.AppendAnswer(nil, answer), unix.MSG_NOSIGNAL); err != nil {
			return err
		}
	}
}

func become(args []string) error {
	if len(args) == 1 && args[0] == rootWord {
		return privs.Stay(privs.Actor())
	}
	uid, gid, groups, err := ids(args)
	if err != nil {
		return err
	}
	return privs.Become(uid, gid, groups)
}

// carryOut is the answer to a message.
func carryOut(text string, fds []int) control.Answer {
	id, deadline, j, err := parseJob(text)
	switch {
	case err != nil || len(fds) != 1:
		return control.Answer{ID: id, Errno: syscall.EBADMSG, Text: fmt.Sprint(err)}
	case monotonic() >= deadline:
		return control.Answer{ID: id, Errno: syscall.ETIMEDOUT}
	}
	j.Dir = fds[0]
	value, err := do(j)
	if err == nil {
		return control.Answer{ID: id, Value: value}
	}
	errno := syscall.EIO
	errors.As(err, &errno)
	return control.Answer{ID: id, Errno: errno}
}

// receive reads one message and its descriptors; "" is the end.
func receive(fd int) (text string, fds []int, err error) {
	buf, oob := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4*4))
	for {
		n, oobn, flags, _, err := unix.Recvmsg(fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return "", nil, err
		}
		fds := descriptorsIn(oob[:oobn])
		if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
			closeAll(fds)
			return "", nil, syscall.EMSGSIZE
		}
		return string(buf[:n]), fds, nil
	}
}

func descriptorsIn(oob []byte) (fds []int) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range messages {
		if got, err := unix.ParseUnixRights(&messages[i]); err == nil {
			fds = append(fds, got...)
		}
	}
	return fds
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
