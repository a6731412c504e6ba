package nsexec

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/nsexec/mountns"
)

// The names that this program is started under as one of the other two.
const (
	stageName   = "aggrfs-exec-stage"
	watcherName = "aggrfs-exec-watcher"
)

// Stage is to be called first thing in main. In a process that Run started it
// does that process' work and does not return; in any other it does nothing.
func Stage() {
	// What a process may, and which time it has, is a matter of its threads: each
	// does all of its work, and becomes the command, on one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	switch os.Args[0] {
	case stageName:
		os.Exit(stage(os.Args[1:]))
	case clockName:
		os.Exit(tryClock(os.Args[1:]))
	case watcherName:
		os.Exit(watch(os.Args[1:]))
	}
	if len(os.Args) > 3 && os.Args[1] == filterName {
		os.Exit(becomeFiltered(os.Args[2], os.Args[3:]))
	}
}

// Stage arguments: the number of the first of our three descriptors, which are
// a socket to the server, one for the watcher, and /dev/fuse; then the command.
const stageFiles = 3

// stage makes the namespace and becomes the command. It returns an exit status
// when it cannot.
func stage(args []string) int {
	first, err := strconv.Atoi(args[0])
	if err != nil {
		return CodeFailed
	}
	for fd := first; fd < first+stageFiles; fd++ {
		unix.CloseOnExec(fd)
	}
	server := newPipe(first, "server")
	var s setup
	if err := server.Decode(&s); err != nil {
		return CodeFailed // the server has gone
	}
	err = enter(s, first, first+2)
	if err == nil {
		err = prepare(s, server, first+1, first+2)
	}
	if err != nil {
		server.Encode(prepared{Failed: err.Error()})
		return CodeFailed
	}
	if server.Decode(&proceed{}) != nil {
		return CodeFailed
	}
	if err := mountns.MountInside(s.Aside, s.Inside); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", s.Name, err)
		return CodeFailed
	}
	if err := mountns.CoverCPUs(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: the CPUs in %s are those of this machine: %v\n", s.Name, mountns.CPUs, err)
	}
	if s.Unprivileged {
		if err := mountns.Drop(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", s.Name, err)
			return CodeFailed
		}
	}
	if s.Filter {
		sendListener(first)
	}
	return mountns.Become(s.Name, args[1:], os.Environ())
}

// enter makes a user namespace ready: this user is in it, the device is opened
// there, and the server has it. The descriptors are the server's socket and
// /dev/fuse.
func enter(s setup, socket, fuse int) error {
	if !s.Unprivileged {
		return nil
	}
	device := fuse
	err := mapSelf(s.Native, s.UID, s.GID)
	if err == nil {
		err = reopenDevice(s.Native, fuse)
	}
	if err != nil {
		device = -1
	}
	return errors.Join(err, sendDevice(socket, device))
}

// prepare lays the namespace out, starts the watcher and mounts the tree. The
// descriptors are the watcher's socket and /dev/fuse, which it closes.
func prepare(s setup, server pipe, watch, fuse int) error {
	defer unix.Close(fuse)
	proc, err := prepareWatched(s, watch)
	if err != nil {
		return err
	}
	defer proc.Close()
	// From here on the watcher cleans up.
	if err := server.Encode(prepared{}); err != nil {
		return err
	}
	if err := server.Decode(&proceed{}); err != nil {
		return err
	}
	if err := shiftClock(s.Aside, s.BootOffset); err != nil && !noTimeNamespaces(err) {
		return err
	}
	tree, err := mountns.MountTree(s.Mount, proc)
	if err != nil && s.Unprivileged {
		err = forbidden(s.Native, err) // FUSE in a user namespace takes Linux 4.18
	}
	if err != nil {
		return err
	}
	return server.Encode(prepared{Tree: tree})
}

// prepareWatched is prepare up to the watcher's start. It returns the native
// procfs.
func prepareWatched(s setup, watch int) (proc *os.File, err error) {
	defer unix.Close(watch)
	lock, err := lockAside(s.Aside)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := layOut(s.Aside, s.Native, s.Unprivileged); err != nil {
		removeAside(lock, s.Aside) // what is mounted goes with the namespace
		if s.Unprivileged {
			err = forbidden(s.Native, err)
		}
		return nil, err
	}
	if proc, err = os.Open(s.Aside); err != nil {
		return nil, withdraw(s.Aside, lock, err)
	}
	// Those of an outer Run; what cannot be taken off is covered.
	if err := mountns.UncoverCPUs(proc); err != nil {
		proc.Close()
		return nil, withdraw(s.Aside, lock, err)
	}
	if err := startWatcher(watch, int(lock.Fd()), int(proc.Fd()), s); err != nil {
		proc.Close()
		return nil, withdraw(s.Aside, lock, err)
	}
	return proc, nil
}

// withdraw undoes lockAside and layOut and returns err.
func withdraw(aside string, lock *os.File, err error) error {
	unix.Unmount(aside, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	removeAside(lock, aside)
	return err
}

// The watcher's descriptors.
const (
	watcherSocket = 3 + iota // to the server
	watcherLock              // on the directory aside, see lockAside
	watcherProc              // the native procfs
)

// startWatcher starts the watcher as a child of our parent.
func startWatcher(socket, lock, proc int, s setup) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	attr := &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_PARENT}
	if s.Unprivileged {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
			return fmt.Errorf("drop the ambient capabilities: %w", err)
		}
		attr.AmbientCaps = watcherCaps
	}
	_, err = syscall.ForkExec(s.Aside+"/self/exe", []string{watcherName, "of", strconv.Itoa(os.Getppid())}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   append(os.Environ(), "GOMAXPROCS=1"),
		Files: []uintptr{null.Fd(), null.Fd(), 2, uintptr(socket), uintptr(lock), uintptr(proc)},
		Sys:   attr,
	})
	if err != nil {
		return fmt.Errorf("start the watcher: %w", err)
	}
	return nil
}

// watch waits until the server has gone and cleans up.
func watch([]string) int {
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGPIPE)
	for fd := watcherSocket; fd <= watcherProc; fd++ {
		unix.CloseOnExec(fd)
	}
	server := newPipe(watcherSocket, "server")
	lock := os.NewFile(watcherLock, "lock")
	proc := os.NewFile(watcherProc, procfs)
	if server.Encode(hello{PID: os.Getpid()}) != nil {
		return CodeFailed // the server has gone, and the stage goes with it
	}
	var g guard
	if server.Decode(&g) != nil {
		return CodeFailed
	}
	io.Copy(io.Discard, server.file) // ends with the server

	code := 0
	complain := func(err error) {
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", watcherName, err)
			code = CodeFailed
		}
	}
	if g.Tree != "" {
		complain(mountns.TakeAway(proc, g.Tree))
	}
	if err := unix.Unmount(g.Aside, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		complain(fmt.Errorf("unmount %s: %w", g.Aside, err))
	}
	complain(removeAside(lock, g.Aside))
	return code
}

// The exchange, one JSON value a message, on two socket pairs:
//
//	server → stage    setup
//	stage → server    the device (see takeDevice), from a user namespace only
//	stage → server    prepared
//	watcher → server  hello
//	server → stage    proceed: the watcher needs no /proc to start any more
//	stage → server    prepared, with the mount
//	server → watcher  guard
//	server → stage    proceed: the tree is served
//	stage → server    the listener of its filter (see sendListener), where one is wanted
//	                  the stage becomes the command: its socket closes
//	server → watcher  closes: the watcher takes the tree away and ends
//
// Between the mount and serving whoever touches /proc waits, and a program may
// touch it to start (the race detector's runtime does): hence the first proceed.
type (
	setup struct {
		Name         string
		Aside        string
		Inside       string // where in the tree it is mounted as well
		Native       string // where the native procfs is at first
		Mount        Mount
		BootOffset   time.Duration
		Unprivileged bool // in a user namespace, for the user and group that follow
		UID, GID     int
		Filter       bool // calls about other machines' processes are sent to a listener
	}
	prepared struct {
		Failed string // what went wrong; then it is the stage's last message
		Tree   string // number of the tree's mount, as in proc_pid_mountinfo(5); "" before it is mounted
	}
	hello struct{ PID int }
	guard struct {
		Tree  string
		Aside string
	}
	proceed struct{}
)

// A pipe is one end of a socket pair that carries JSON values.
type pipe struct {
	file *os.File
	*json.Encoder
	*json.Decoder
}

func newPipe(fd int, name string) pipe {
	f := os.NewFile(uintptr(fd), name)
	return pipe{f, json.NewEncoder(f), json.NewDecoder(f)}
}

// socketPair returns an end for this process, which has deadlines, and a bare
// descriptor for a child. Both are close-on-exec.
func socketPair(name string) (pipe, int, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return pipe{}, -1, fmt.Errorf("socket pair for the %s: %w", name, err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return pipe{}, -1, fmt.Errorf("socket pair for the %s: %w", name, err)
	}
	return newPipe(fds[0], name), fds[1], nil
}

// stageCaps are what the stage has in a user namespace of its own until the
// tree is mounted: the last is for giving up the others for good.
var stageCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SYS_TIME, unix.CAP_SETPCAP}

// watcherCaps are what the watcher keeps: unmounting is all that it does.
var watcherCaps = []uintptr{unix.CAP_SYS_ADMIN}

// stageAttr is how the stage is started: by root in a mount namespace of its
// own, by others in a user namespace, too.
func stageAttr(unprivileged bool) *syscall.SysProcAttr {
	if !unprivileged {
		return &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	}
	return &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, AmbientCaps: stageCaps}
}

// mapSelf maps this process' user and group in its user namespace to
// themselves. proc is the path of the native procfs.
//
// The stage does it, not the server: package syscall writes to /proc, where a
// server that runs under another one finds a tree.
func mapSelf(proc string, uid, gid int) error {
	for _, file := range []struct{ name, text string }{
		{"setgroups", "deny"},
		{"uid_map", fmt.Sprintf("%d %d 1", uid, uid)},
		{"gid_map", fmt.Sprintf("%d %d 1", gid, gid)},
	} {
		path := proc + "/self/" + file.name
		if err := os.WriteFile(path, []byte(file.text), 0); err != nil {
			return forbidden(proc, fmt.Errorf("user namespace: %w", err))
		}
	}
	return nil
}

// A limit is a sysctl that forbids ordinary users their user namespaces.
type limit struct{ name, forbids, remedy string }

var limits = []limit{
	{"user.max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"},
	{"kernel.unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"},
	{"kernel.apparmor_restrict_unprivileged_userns", "1", "sysctl kernel.apparmor_restrict_unprivileged_userns=0"},
}

// Forbidding is, by the procfs at proc, what to do about each sysctl that forbids ordinary users
// their user namespaces.
func Forbidding(proc string) (remedies []string) {
	for _, l := range limits {
		text, err := os.ReadFile(proc + "/sys/" + strings.ReplaceAll(l.name, ".", "/"))
		if err == nil && strings.TrimSpace(string(text)) == l.forbids {
			remedies = append(remedies, l.remedy)
		}
	}
	return remedies
}

// forbidden adds to an error that user namespaces are what is missing, and what
// helps, if it is one of those that the kernel gives then.
func forbidden(proc string, err error) error {
	refusals := []error{unix.EPERM, unix.EACCES, unix.ENOSPC, unix.EUSERS, unix.ENOSYS, unix.EINVAL}
	if !slices.ContainsFunc(refusals, func(e error) bool { return errors.Is(err, e) }) {
		return err
	}
	remedy := "sysctl user.max_user_namespaces, or what your security module says"
	for _, is := range Forbidding(proc) {
		remedy = is
	}
	return fmt.Errorf("%w: this machine does not let its users have user namespaces; install the helper aggrfs-ns, or use aggrfs mount DIR, or have them allowed (%s)", err, remedy)
}

// reopenDevice opens the device that is open as fd again, in its place. The
// kernel takes a FUSE mount in a user namespace only from a device that was
// opened there.
func reopenDevice(proc string, fd int) error {
	again, err := unix.Open(fmt.Sprintf("%s/self/fd/%d", proc, fd), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the FUSE device in the user namespace: %w", err)
	}
	defer unix.Close(again)
	if err := unix.Dup3(again, fd, unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("open the FUSE device in the user namespace: %w", err)
	}
	return nil
}

// sendDevice sends a byte and with it the device, or the byte alone (-1).
func sendDevice(socket, device int) error {
	var rights []byte
	if device >= 0 {
		rights = unix.UnixRights(device)
	}
	return unix.Sendmsg(socket, []byte{0}, rights, nil, 0)
}

// takeDevice receives what sendDevice sent and puts it in the place of the
// device that the server has opened.
func takeDevice(socket, device *os.File) error {
	said, fd, err := takeDescriptor(socket, 1)
	switch {
	case err != nil:
		return fmt.Errorf("the stage has ended or hangs: %w", err)
	case len(said) == 0:
		return errors.New("the stage has ended")
	case fd < 0:
		return nil // it says why
	}
	defer unix.Close(fd)
	return withFD(device, func(to int) error { return unix.Dup3(fd, to, unix.O_CLOEXEC) })
}
