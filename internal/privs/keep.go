// Package privs has a daemon give up at its start what it does not need.
//
// # Model
//
// The kernel keeps rights per thread (credentials(7), capabilities(7)). Keep
// takes a list of capabilities and leaves every thread of the program those of
// the list that the program was started with, permitted and effective, and no
// other. What could bring others back goes too: the inheritable and the ambient
// set are emptied, the bounding set is cut to the same list where CAP_SETPCAP
// allows, and no_new_privs is set, after which no execve(2) gives more than was
// there before it.
//
// Threads that the program starts later have the rights of the thread that
// starts them. The ids are not changed: a program that runs as root goes on as
// root, and the files that root owns stay its own.
//
// # Failure
//
// Keep looks at every thread in /proc/self/task when all is done. Anything but
// exactly what was meant is an error, and the program must end then: some of
// its threads may have more than others. A program started with less than the
// list goes on with what it has; the log says what that costs.
//
// # What it takes
//
// All threads are changed by libcap's psx: in a program without cgo that is
// syscall.AllThreadsSyscall, in one with cgo, which has threads of which Go does not
// know, a signal to each thread in /proc. So programs give up rights however they are
// built, with the race detector too. A call that does not come out the same on all
// threads ends the program.
package privs

import (
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// The files that tell of this process's rights.
const (
	ownStatus  = "/proc/self/status"
	ownThreads = "/proc/self/task"
)

// Keep leaves the program, on all its threads, the capabilities of wants that
// it has and no other, and logs what it keeps and what is missing. It must be
// called once, before anything is read from a network, and while no thread is
// locked with other rights. After an error the program must end.
func Keep(log *slog.Logger, wants []Want) error {
	before, err := readRights(ownStatus)
	if err != nil {
		return fmt.Errorf("giving up rights: %w", err)
	}
	after := rights{
		permitted: before.permitted & setOf(wants), effective: before.permitted & setOf(wants),
		bounding: before.bounding, noNewPrivs: 1,
	}
	if before.effective.Has(unix.CAP_SETPCAP) {
		after.bounding &= after.permitted
	}
	// The order matters: the bounding set needs CAP_SETPCAP, which goes with the rest.
	if err := dropBounding(true, before.bounding&^after.bounding); err != nil {
		return fmt.Errorf("giving up rights: %w", err)
	}
	if err := limit(true, after.permitted); err != nil {
		return fmt.Errorf("giving up rights: %w", err)
	}
	if err := verify(ownThreads, after); err != nil {
		return fmt.Errorf("giving up rights: %w", err)
	}
	report(log, os.Geteuid(), after.permitted, wants)
	return nil
}

// call makes one system call, on all threads or on the calling one. What an argument
// points to is on the heap, and stays there until the call has returned: it is made by Go
// functions, during which a stack may move.
//
//go:uintptrescapes
func call(all bool, number, a, b, c uintptr) (errno syscall.Errno) {
	if all {
		_, _, errno = psx.Syscall6(number, a, b, c, 0, 0, 0) // prctl(2) wants zeros
	} else {
		_, _, errno = syscall.RawSyscall6(number, a, b, c, 0, 0, 0)
	}
	return errno
}

// dropBounding takes some capabilities out of the bounding set, on all threads or on the
// calling one.
func dropBounding(all bool, some Set) error {
	for n := range 64 {
		if !some.Has(n) {
			continue
		}
		if errno := call(all, unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(n), 0); errno != 0 {
			return fmt.Errorf("prctl PR_CAPBSET_DROP %s: %w", name(n), errno)
		}
	}
	return nil
}

// limit leaves, on all threads or on the calling one, those capabilities in the permitted
// and the effective set and none in the others but the bounding one, and sets
// no_new_privs.
func limit(all bool, to Set) error {
	if errno := call(all, unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); errno != 0 {
		return fmt.Errorf("prctl PR_CAP_AMBIENT_CLEAR_ALL: %w", errno)
	}
	if err := setCaps(all, to, 0); err != nil {
		return err
	}
	if errno := call(all, unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); errno != 0 {
		return fmt.Errorf("prctl PR_SET_NO_NEW_PRIVS: %w", errno)
	}
	return nil
}

// setCaps sets the permitted and the effective set, and the inheritable one, of all threads or of
// the calling one.
func setCaps(all bool, permitted, inheritable Set) error {
	var data [2]unix.CapUserData
	for i := range data {
		half := uint32(permitted >> (32 * i))
		data[i] = unix.CapUserData{Effective: half, Permitted: half, Inheritable: uint32(inheritable >> (32 * i))}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if errno := call(all, unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0); errno != 0 {
		return fmt.Errorf("capset: %w", errno)
	}
	return nil
}

// report logs what came of it.
func report(log *slog.Logger, uid int, kept Set, wants []Want) {
	log.Info("rights", "uid", uid, "kept", kept.String())
	for _, w := range wants {
		switch text := "without " + name(w.Number) + " " + w.Cost; {
		case kept.Has(w.Number):
		case w.Optional:
			log.Info(text)
		default:
			log.Warn(text)
		}
	}
	if uid != 0 {
		log.Info("as another user than root the files below sys that only root may read are refused to all " +
			"(such as sys/kernel/cad_pid and sys/net/ipv4/tcp_fastopen_key), and keys shows this user's keyrings")
	}
}

// A Want is a capability that a program keeps if it has it.
type Want struct {
	Number int
	// Cost says what does not work without it, as the end of a sentence that
	// begins "without CAP_X ".
	Cost string
	// Optional says that the program is of full use without it to all but the
	// superuser, and to them for nearly everything.
	Optional bool
}

// Leaf is what it takes to give all of a /proc to everyone as the kernel would:
// to the superuser whatever root reads natively, and to anyone else what they
// read themselves, for which a thread takes their ids. It is the smallest such
// list, which the package's tests prove on the kernel that they run on.
//
// What is not on it, though /proc asks for it: CAP_CHECKPOINT_RESTORE follows
// the links of map_files, whose text is read without; CAP_NET_ADMIN opens the
// root's files of sys/net to others, CAP_SYS_RESOURCE those of sys/user, and
// root needs neither.
func Leaf() []Want {
	return []Want{
		{Number: unix.CAP_SYS_PTRACE, Cost: "the environ, maps, fd, exe and io of most processes are refused, and fields of stat are 0"},
		{Number: unix.CAP_DAC_READ_SEARCH, Cost: "the environ and fd of other users' processes are refused, as are the node's files for root alone"},
		{Number: unix.CAP_SETUID, Cost: "nobody but root is answered"},
		{Number: unix.CAP_SETGID, Cost: "nobody but root is answered"},
		{Number: unix.CAP_SYS_ADMIN, Optional: true, Cost: "<pid>/stack, mtrr and sys/net/core/bpf_jit_* are refused, and addresses in iomem and ioports are 0"},
		{Number: unix.CAP_SYSLOG, Optional: true, Cost: "addresses in kallsyms, modules and their like are 0"},
		{Number: unix.CAP_SYS_NICE, Optional: true, Cost: "<pid>/timerslack_ns is refused"},
	}
}

// setOf are the capabilities of a list.
func setOf(wants []Want) (s Set) {
	for _, w := range wants {
		s |= 1 << w.Number
	}
	return s
}
