package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/privs"
	"github.com/aggrfs/aggrfs/internal/trusted"
)

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
