package command

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/privs"
	"github.com/aggrfs/aggrfs/internal/trusted"
)

// The names that this program is started under as one of the other two.
const (
	supervisorName = "aggrfs-command-supervisor"
	becomeName     = "aggrfs-command"
)

// The descriptors of both, behind the usual three: where they are told what to do,
// and where they say what came of it.
const (
	orderFD  = 3
	reportFD = 4
)

// Stage is to be called first thing in main. In a process that Run started it does
// that process' work and does not return; in any other it does nothing.
func Stage() {
	// Ids and capabilities are a thread's, and so is the death signal.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	switch os.Args[0] {
	case supervisorName:
		os.Exit(supervise())
	case becomeName:
		os.Exit(become())
	}
}

// supervise runs the command and ends all of it.
func supervise() int {
	syscall.CloseOnExec(orderFD)
	syscall.CloseOnExec(reportFD)
	told, report := os.NewFile(orderFD, "order"), os.NewFile(reportFD, "report")
	say := func(v verdict) int {
		if json.NewEncoder(report).Encode(v) != nil {
			return 1
		}
		return 0
	}
	in := bufio.NewReader(told)
	line, err := in.ReadBytes('\n')
	var o order
	if err == nil {
		err = json.Unmarshal(line, &o)
	}
	if err != nil {
		return 1 // who started this one is gone
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return say(verdict{Failed: fmt.Sprintf("prctl PR_SET_CHILD_SUBREAPER: %v", err)})
	}
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, unix.SIGCHLD)
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGPIPE)
	other := !isOwn(o.User)
	pid, failed, err := startBecome(line)
	if err != nil {
		return say(verdict{Failed: err.Error()})
	}
	if err := shrink(o.User, other); err != nil {
		// Nothing else can end it; it ends with its parent.
		return say(verdict{Failed: "its supervisor cannot give up its rights: " + err.Error()})
	}
	gone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, in) // until Run closes it, or the process is gone that does
		close(gone)
	}()
	c := children{first: pid}
	c.end(changed, gone)
	v := verdict{Failed: <-failed, Killed: c.killed}
	switch {
	case v.Failed != "":
	case c.status.Signaled():
		v.Signal = int(c.status.Signal())
	default:
		v.Exit = c.status.ExitStatus()
	}
	return say(v)
}

// startBecome starts the process that becomes the command. What it says if it cannot
// comes on failed, "" once it is the command.
func startBecome(order []byte) (pid int, failed <-chan string, err error) {
	var pipes [2][2]*os.File
	for i := range pipes {
		if pipes[i][0], pipes[i][1], err = os.Pipe(); err != nil {
			return 0, nil, err
		}
	}
	pid, err = syscall.ForkExec("/proc/self/exe", []string{becomeName}, &syscall.ProcAttr{
		Dir: "/", Env: []string{}, Files: []uintptr{0, 1, 2, pipes[0][0].Fd(), pipes[1][1].Fd()},
	})
	pipes[0][0].Close()
	pipes[1][1].Close()
	if err != nil {
		return 0, nil, err
	}
	why := make(chan string, 1)
	go func() {
		_, _ = pipes[0][1].Write(order) // one that ends before it has read says so itself
		pipes[0][1].Close()
		text, _ := io.ReadAll(io.LimitReader(pipes[1][0], 4096))
		why <- string(text)
	}()
	return pid, why, nil
}

// shrink leaves this process, whose first thread alone sends signals, the right to
// signal the command and no other: the effective user id of it, and no capability.
func shrink(who User, other bool) error {
	return privs.DropThread(func() error {
		if !other {
			return nil
		}
		return setIDs(who, func(id uint32) (r, e, s int) { return noChange, int(id), noChange })
	})
}

// children are this process's: the command, what it started, and what that left
// behind.
type children struct {
	first  int // the command
	status unix.WaitStatus
	over   bool // the command has ended
	killed bool // it was killed here
}

// killAgain is how long children that were killed are waited for before others are
// looked for.
const killAgain = 20 * time.Millisecond

// end returns when there are none any more. They are left alone until the command has
// ended or gone is closed. changed gets SIGCHLD.
func (c *children) end(changed <-chan os.Signal, gone <-chan struct{}) {
	for {
		if none := c.reap(); none {
			return
		}
		select {
		case <-gone:
			c.killed, gone = !c.over, nil
		default:
		}
		if !c.over && gone != nil {
			select {
			case <-changed:
			case <-gone:
				c.killed, gone = true, nil
			}
			continue
		}
		// None can have another's number: they are reaped here.
		for _, pid := range childPIDs() {
			_ = unix.Kill(pid, unix.SIGKILL) // one that is gone is reaped next
		}
		select {
		case <-changed:
		case <-time.After(killAgain):
		}
	}
}

// reap takes all that have ended, and reports whether there is none left.
func (c *children) reap() (none bool) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return true // ECHILD
		case pid == 0:
			return false
		case pid == c.first:
			c.status, c.over = status, true
		}
	}
}

// childPIDs are the children of this process. The kernel lists them thread by thread
// where it is built with CONFIG_PROC_CHILDREN, and else one has to look through all
// processes for them.
func childPIDs() (pids []int) {
	lists, _ := filepath.Glob("/proc/self/task/*/children") // the pattern is good
	for _, list := range lists {
		text, _ := os.ReadFile(list) // of a thread that has ended there is none
		for f := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(f); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	if len(lists) > 0 {
		return pids
	}
	return pidsByParent(os.Getpid())
}

// pidsByParent looks through all processes for those with that parent.
func pidsByParent(parent int) (pids []int) {
	all, _ := procfs.AllProcs() // fails where there is no /proc, and then nothing can be done
	for _, p := range all {
		if stat, err := p.Stat(); err == nil && stat.PPID == parent { // one that has ended has none
			pids = append(pids, p.PID)
		}
	}
	return pids
}

// become gives up all rights, becomes the user and then the command. It returns when
// it cannot.
func become() int {
	syscall.CloseOnExec(reportFD) // which tells the supervisor that it is the command
	told, report := os.NewFile(orderFD, "order"), os.NewFile(reportFD, "report")
	var o order
	err := json.NewDecoder(told).Decode(&o)
	told.Close()
	if err == nil {
		err = o.run()
	}
	fmt.Fprint(report, err)
	return 1
}

// run does not return unless it fails.
func (o order) run() error {
	// As this program's user, who decides whom to trust.
	if err := trusted.CheckProgram(o.Argv[0]); err != nil {
		return plainly(err)
	}
	err := privs.DropThread(func() error {
		if isOwn(o.User) {
			return nil
		}
		return setIDs(o.User, func(id uint32) (r, e, s int) { return int(id), int(id), int(id) })
	})
	if err != nil {
		return fmt.Errorf("it cannot be left without rights: %w", err)
	}
	if err := isNow(o.User); err != nil {
		return err
	}
	// It ends with its supervisor, whatever becomes of that one.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("prctl PR_SET_PDEATHSIG: %w", err)
	}
	if _, err := unix.Setsid(); err != nil {
		return fmt.Errorf("setsid: %w", err)
	}
	if err := inheritNothing(); err != nil {
		return err
	}
	err = syscall.Exec(o.Argv[0], o.Argv, o.Env)
	if errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("%s may not be run by uid %d: let that user read and execute it, or name another user for the command", o.Argv[0], o.User.UID)
	}
	return plainly(&os.PathError{Op: "exec", Path: o.Argv[0], Err: err})
}

// inheritNothing sees to it that the command has three descriptors, whatever this
// process was started with, and no signal that is ignored.
func inheritNothing() error {
	signal.Notify(make(chan os.Signal, 1)) // execve(2) makes the default of what is caught
	for _, s := range internalSignals {
		var byDefault [8]uint64 // a struct sigaction that is zero, and longer than any
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, s, uintptr(unsafe.Pointer(&byDefault)), 0, 8, 0, 0); errno != 0 {
			return fmt.Errorf("rt_sigaction %d: %w", s, errno)
		}
	}
	open, err := os.ReadDir("/proc/self/fd")
	for _, e := range open {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
	return err
}

// internalSignals are those that os/signal leaves to the C library.
var internalSignals = [...]uintptr{32, 33, 34}

// isNow makes sure that this thread has become who.
func isNow(who User) error {
	r, e, s := unix.Getresuid()
	rg, eg, sg := unix.Getresgid()
	uid, gid := int(who.UID), int(who.GID)
	if r != uid || e != uid || s != uid || rg != gid || eg != gid || sg != gid {
		return fmt.Errorf("it was to run as uid %d and gid %d and would as uids %d %d %d and gids %d %d %d", uid, gid, r, e, s, rg, eg, sg)
	}
	return nil
}

// plainly says of a file that is not there what an errno says less plainly.
func plainly(err error) error {
	var path *os.PathError
	if errors.As(err, &path) && errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no %s", path.Path)
	}
	return err
}

// noChange is an id that setresuid(2) leaves as it is.
const noChange = -1

// setIDs sets the groups and the ids of this process: ids says of one what the real,
// the effective and the saved one become.
func setIDs(who User, ids func(uint32) (r, e, s int)) error {
	groups := make([]int, len(who.Groups))
	for i, g := range who.Groups {
		groups[i] = int(g)
	}
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("setgroups: %w", err)
	}
	r, e, s := ids(who.GID)
	if err := syscall.Setresgid(r, e, s); err != nil {
		return fmt.Errorf("setresgid %d: %w", who.GID, err)
	}
	r, e, s = ids(who.UID)
	if err := syscall.Setresuid(r, e, s); err != nil {
		return fmt.Errorf("setresuid %d: %w", who.UID, err)
	}
	return nil
}
