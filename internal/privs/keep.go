package privs

import (
	"fmt"
	"log/slog"
	"os"
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
	if err := drop(before.bounding&^after.bounding, after.permitted); err != nil {
		return fmt.Errorf("giving up rights: %w", err)
	}
	if err := verify(ownThreads, after); err != nil {
		return fmt.Errorf("giving up rights: %w", err)
	}
	report(log, os.Geteuid(), after.permitted, wants)
	return nil
}

// drop takes bounded out of the bounding set and leaves what keep has. The
// order matters: the bounding set needs CAP_SETPCAP, which goes with the rest.
func drop(bounded, keep Set) error {
	for n := range 64 {
		if !bounded.Has(n) {
			continue
		}
		if err := allThreads(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(n), 0); err != nil {
			return fmt.Errorf("prctl PR_CAPBSET_DROP %s: %w", name(n), err)
		}
	}
	if err := allThreads(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		return fmt.Errorf("prctl PR_CAP_AMBIENT_CLEAR_ALL: %w", err)
	}
	var data [2]unix.CapUserData
	for i := range data {
		half := uint32(keep >> (32 * i))
		data[i] = unix.CapUserData{Effective: half, Permitted: half}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	_, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	if errno != 0 {
		return fmt.Errorf("capset: %w", errno)
	}
	if err := allThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return fmt.Errorf("prctl PR_SET_NO_NEW_PRIVS: %w", err)
	}
	return nil
}

// allThreads makes one system call on every thread.
func allThreads(call, a, b, c uintptr) error {
	if _, _, errno := psx.Syscall6(call, a, b, c, 0, 0, 0); errno != 0 {
		return errno
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
