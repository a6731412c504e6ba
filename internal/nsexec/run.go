package nsexec

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/nsexec/mountns"
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
	if spec.Wait {
		if err := adopt(); err != nil {
			return CodeFailed, err
		}
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
	code, err := s.wait(ctx, signals)
	if spec.Wait && err == nil {
		if err := s.awaitRest(ctx, signals); err != nil {
			spec.Log.Error("the tree goes while something may use it", "err", err)
		}
	}
	return code, err
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
	filtered       pipe          // to the program that the helper starts, which becomes the command
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
		Name: spec.Name, Aside: spec.Aside, Inside: spec.Inside, Mount: spec.Mount(first + stageFiles - 1),
		BootOffset: spec.BootOffset, Filter: spec.Listen != nil,
		Native: native, Unprivileged: s.unprivileged, UID: os.Geteuid(), GID: os.Getegid(),
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
	if err := s.stage.Encode(proceed{}); err != nil {
		return err
	}
	return s.listen(s.stage.file)
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

// helperName is the program that stands in for the stage and the watcher where
// it is installed, see cmd/aggrfs-ns.
const helperName = "aggrfs-ns"

// helper is the path of the helper, or "" where this process has none or needs
// none.
func helper() string {
	if os.Geteuid() == 0 || noNewPrivs() {
		return ""
	}
	dirs := []string{"/usr/libexec/aggrfs", "/usr/local/libexec/aggrfs"}
	if self, err := os.Executable(); err == nil {
		dirs = append([]string{filepath.Dir(self)}, dirs...)
	}
	for _, dir := range dirs {
		if path := filepath.Join(dir, helperName); canMount(path) {
			return path
		}
	}
	return ""
}

// noNewPrivs reports whether a program's capabilities count for nothing here, as
// below a Run.
func noNewPrivs() bool {
	set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	return err == nil && set != 0
}

// canMount reports whether a program gets CAP_SYS_ADMIN when it is executed: by
// its capability, as in struct vfs_cap_data of linux/capability.h.
func canMount(path string) bool {
	const (
		revisions = 0xff000000
		second    = 0x02000000
		effective = 1
	)
	var data [64]byte
	n, err := unix.Getxattr(path, "security.capability", data[:])
	if err != nil || n < 8 || unix.Access(path, unix.X_OK) != nil {
		return false
	}
	magic := binary.LittleEndian.Uint32(data[:])
	permitted := binary.LittleEndian.Uint32(data[4:])
	var fs unix.Statfs_t
	return magic&revisions >= second && magic&effective != 0 && permitted&(1<<unix.CAP_SYS_ADMIN) != 0 &&
		unix.Statfs(path, &fs) == nil && fs.Flags&unix.ST_NOSUID == 0
}

// startHelper starts the helper, which passes the command's environment on and is
// steered by nothing in it. It says lines, and is told a byte: that the
// tree is served.
//
//	helper → server  mounted, or failed and why
//	server → helper  a byte
//	helper → server  started and the command's pid, or failed and why
//	server → helper  closes: the helper takes the tree away and ends
func (s *session) startHelper(program string) error {
	var theirs int
	var err error
	if s.watcher, theirs, err = socketPair("helper"); err != nil {
		return err
	}
	defer unix.Close(theirs)
	var socket []int // the helper passes it on
	self, err := os.Executable()
	if err != nil && s.spec.Listen != nil {
		s.spec.Listen(-1, 0, err)
		s.spec.Listen = nil
	}
	if s.spec.Listen != nil {
		var third int
		if s.filtered, third, err = socketPair("command"); err != nil {
			s.end()
			return err
		}
		defer unix.Close(third)
		socket = []int{third}
	}
	s.helper = bufio.NewReader(io.LimitReader(s.watcher.file, 1<<16))
	err = withFD(s.spec.Device, func(fuse int) error {
		files, first := lineUp([3]uintptr{s.spec.Stdin.Fd(), s.spec.Stdout.Fd(), s.spec.Stderr.Fd()}, append([]int{theirs, fuse}, socket...)...)
		argv := []string{helperName, "run", strconv.Itoa(first), strconv.Itoa(first + 1)}
		if socket != nil {
			argv = append(argv, self, filterName, strconv.Itoa(first+2))
		}
		argv = append(argv, s.spec.Argv...)
		pid, err := forkExec(s.spec.CPUs, program, argv, &syscall.ProcAttr{
			Dir: s.spec.Dir, Env: mountns.Hide(s.spec.Env), Files: files, Sys: &syscall.SysProcAttr{},
		})
		if err == nil {
			s.watcherPID = pid
		}
		return err
	})
	if err != nil {
		s.end()
		return fmt.Errorf("start %s for %q in directory %q: %w", program, s.spec.Argv[0], s.spec.Dir, err)
	}
	s.deadline(time.Now().Add(setupDeadline))
	return nil
}

// setUpHelper is setUp with the helper.
func (s *session) setUpHelper() error {
	if _, err := s.helperSays("mounted"); err != nil {
		return err
	}
	if err := s.spec.Serve(); err != nil {
		return err
	}
	s.told = true
	s.watcher.file.Write([]byte{0}) // an error shows when the answer is read
	if err := s.started(); err != nil {
		return err
	}
	return s.listen(s.filtered.file)
}

// started finds the command that the helper has started.
func (s *session) started() error {
	text, err := s.helperSays("started")
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(text)
	if err != nil || pid < 1 {
		return fmt.Errorf("the helper has started process %q", text)
	}
	s.process, err = os.FindProcess(pid)
	return err
}

// helperSays reads a line that begins with the word, and returns the rest.
func (s *session) helperSays(word string) (rest string, err error) {
	line, err := s.helper.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s has ended or hangs: %w", helperName, err)
	}
	first, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	switch first {
	case word:
		return rest, nil
	case "failed":
		return "", errors.New(helperName + ": " + rest)
	}
	return "", fmt.Errorf("%s says %q", helperName, line)
}

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

// enterable reports whether a directory ("" is the working directory) is not what
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

// end lets go of the watcher and waits until it has taken the tree away.
// Nothing of the session is left then but what the command left behind.
func (s *session) end() {
	for _, p := range []pipe{s.stage, s.watcher, s.filtered} {
		if p.file != nil {
			p.file.Close()
		}
	}
	if s.watcherPID == 0 {
		return
	}
	watcher, err := os.FindProcess(s.watcherPID)
	if err != nil {
		s.spec.Log.Error("the watcher cannot be waited for", "pid", s.watcherPID, "err", err)
		return
	}
	kill := time.AfterFunc(sweepDeadline, func() { watcher.Kill() })
	defer kill.Stop()
	state, err := watcher.Wait()
	switch {
	case err != nil:
		s.spec.Log.Error("the watcher cannot be waited for", "pid", s.watcherPID, "err", err)
	case !state.Success() && s.process != nil:
		s.spec.Log.Error("processes that the command left may have a /proc that answers nothing: the watcher failed",
			"pid", s.watcherPID, "state", state.String())
	}
}

// deadline bounds what is left of the exchange.
func (s *session) deadline(t time.Time) {
	for _, p := range []pipe{s.stage, s.watcher, s.filtered} {
		if p.file != nil {
			p.file.SetDeadline(t)
		}
	}
}

// kill ends the stage, which has not become the command yet, or the command if
// the helper has started it.
func (s *session) kill() {
	if s.process == nil && s.told {
		s.deadline(time.Now().Add(setupDeadline))
		s.started() // or there is none
	}
	if s.process != nil {
		s.process.Kill()
		s.process.Wait()
	}
}

// withFD calls f with the file's descriptor and leaves its blocking mode alone,
// which File.Fd does not.
func withFD(file *os.File, f func(fd int) error) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := conn.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// lineUp lists the descriptors that a child gets so that ours, three of them
// for the stage, come behind 0, 1 and 2 at the first place where they cover
// none that this process was started with: those the shell opened are the
// command's. It returns the list, as in syscall.ProcAttr, and the number of
// the first of ours in the child.
//
// What this program opens is close-on-exec; what it was started with is not.
func lineUp(stdio [3]uintptr, ours ...int) (files []uintptr, first int) {
	first = 3
	for i := first; i < first+len(ours); i++ {
		if inherited(i) {
			first = i + 1
		}
	}
	files = append(files, stdio[:]...)
	for i := 3; i < first; i++ {
		if inherited(i) {
			files = append(files, uintptr(i))
		} else {
			files = append(files, ^uintptr(0)) // closed
		}
	}
	for _, fd := range ours {
		files = append(files, uintptr(fd))
	}
	return files, first
}

func inherited(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}

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

// inForeground reports whether this process is in the foreground process group
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
