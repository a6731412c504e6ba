package nsexec

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Run runs the command and returns its exit status, which is CodeSignal plus
// the number for a command that a signal ended, and one of the other Code
// constants for one that could not be executed (which has been said on stderr).
// An error means that there was no command, with CodeFailed.
//
// When the context ends the command gets SIGTERM and, after a grace, SIGKILL.
// Signals to this process are passed on as the package comment says; so only
// one Run at a time can be sure to get what is meant for it.
func Run(ctx context.Context, spec Spec) (int, error) {
	spec, err := spec.complete()
	if err != nil {
		return CodeFailed, err
	}
	signals := catch()
	defer signal.Stop(signals)
	s, err := start(spec)
	if err != nil {
		return CodeFailed, err
	}
	defer s.end()
	stop := context.AfterFunc(ctx, func() { s.deadline(time.Now()) })
	if s.helper != nil {
		err = s.setUpHelper()
	} else {
		err = s.setUp()
	}
	stop()
	if err != nil {
		s.kill()
		return CodeFailed, errors.Join(context.Cause(ctx), err)
	}
	return s.wait(ctx, signals)
}

// A session is a started stage and what belongs to it.
type session struct {
	spec           Spec
	unprivileged   bool        // the stage is in a user namespace of its own
	process        *os.Process // the stage, then the command
	stage, watcher pipe
	watcherPID     int           // 0 until it has said hello
	helper         *bufio.Reader // what the helper says; nil without one
	told           bool          // the helper has been told that the tree is served
}

// start starts the stage in a mount namespace of its own.
func start(spec Spec) (*session, error) {
	native, err := Native(spec.Aside)
	if err != nil {
		return nil, err
	}
	s := &session{spec: spec, unprivileged: os.Geteuid() != 0}
	if program := helper(); program != "" && spec.Aside == DefaultAside {
		return s, s.startHelper(program)
	}
	var theirs, watchers int
	if s.stage, theirs, err = socketPair("stage"); err != nil {
		return nil, err
	}
	defer unix.Close(theirs)
	if s.watcher, watchers, err = socketPair("watcher"); err != nil {
		s.stage.file.Close()
		return nil, err
	}
	defer unix.Close(watchers)
	var pid, first int
	err = withFD(spec.Device, func(fuse int) error {
		var files []uintptr
		files, first = lineUp([3]uintptr{spec.Stdin.Fd(), spec.Stdout.Fd(), spec.Stderr.Fd()}, theirs, watchers, fuse)
		argv := append([]string{stageName, fmt.Sprint(first)}, spec.Argv...)
		pid, err = forkExec(spec.CPUs, native+"/self/exe", argv, &syscall.ProcAttr{
			Dir: spec.Dir, Env: spec.Env, Files: files,
			Sys: stageAttr(s.unprivileged),
		})
		return err
	})
	if err == nil {
		s.process, err = os.FindProcess(pid)
	}
	if err != nil {
		s.end()
		if s.unprivileged && enterable(spec.Dir) {
			err = forbidden(native, err)
		}
		return nil, fmt.Errorf("start the stage of %q in directory %q: %w", spec.Argv[0], spec.Dir, err)
	}
	s.deadline(time.Now().Add(setupDeadline))
	// An error shows when the answer is read.
	s.stage.Encode(setup{
		Name: spec.Name, Aside: spec.Aside, Mount: spec.Mount(first + stageFiles - 1),
		BootOffset: spec.BootOffset,
		Native:     native, Unprivileged: s.unprivileged, UID: os.Geteuid(), GID: os.Getegid(),
	})
	return s, nil
}

// setUp takes the stage to where it becomes the command.
func (s *session) setUp() error {
	if s.unprivileged {
		if err := takeDevice(s.stage.file, s.spec.Device); err != nil {
			return err
		}
	}
	if _, err := s.stageSays(); err != nil {
		return err
	}
	var h hello
	if err := s.watcher.Decode(&h); err != nil {
		return fmt.Errorf("the watcher has ended or hangs: %w", err)
	}
	s.watcherPID = h.PID
	s.stage.Encode(proceed{}) // an error shows when the answer is read
	tree, err := s.stageSays()
	// The watcher cleans up after a failure, too.
	err = errors.Join(err, s.watcher.Encode(guard{Tree: tree, Aside: s.spec.Aside}))
	if err != nil {
		return err
	}
	if err := s.spec.Serve(); err != nil {
		return err
	}
	return s.stage.Encode(proceed{})
}

// stageSays reads a message of the stage's.
func (s *session) stageSays() (tree string, err error) {
	var m prepared
	if err := s.stage.Decode(&m); err != nil {
		return "", fmt.Errorf("the stage has ended or hangs: %w", err)
	}
	if m.Failed != "" {
		return "", errors.New(m.Failed)
	}
	return m.Tree, nil
}

// forkExec is syscall.ForkExec of a process for those CPUs, nil for all that this
// thread has.
func forkExec(cpus *unix.CPUSet, program string, argv []string, attr *syscall.ProcAttr) (pid int, err error) {
	if cpus == nil {
		return syscall.ForkExec(program, argv, attr)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return 0, os.NewSyscallError("sched_getaffinity", err)
	}
	if err := unix.SchedSetaffinity(0, cpus); err != nil {
		return 0, os.NewSyscallError("sched_setaffinity", err)
	}
	defer unix.SchedSetaffinity(0, &before) // which were allowed a moment ago
	return syscall.ForkExec(program, argv, attr)
}
