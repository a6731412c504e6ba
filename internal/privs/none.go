package privs

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// threadStatus tells of the rights of the thread that reads it.
const threadStatus = "/proc/thread-self/status"

// DropThread changes the ids of the calling thread, to which the goroutine must be
// locked, by calling change, and leaves the thread no capability at all, and nothing that an execve(2) could give it one by: the
// inheritable and the ambient set are empty, the bounding set is where CAP_SETPCAP
// allows, and no_new_privs is set, after which no set-user-ID program, no file
// capability and no user id 0 gives more than there was before (prctl(2)). Securebits
// decide about rights that are gained or kept by a change of ids; with no_new_privs
// and nothing permitted there is nothing that they could give. It then looks at what
// the kernel says of the thread: anything else is an error.
//
// It is for a process that is about to become another program. Other threads keep
// what they have.
func DropThread(change func() error) error {
	before, err := readRights(threadStatus)
	if err != nil {
		return err
	}
	want := rights{noNewPrivs: 1, bounding: before.bounding}
	if before.effective.Has(unix.CAP_SETPCAP) {
		want.bounding = 0
		for n := range 64 {
			if !before.bounding.Has(n) {
				continue
			}
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(n), 0, 0, 0); err != nil {
				return fmt.Errorf("prctl PR_CAPBSET_DROP %s: %w", name(n), err)
			}
		}
	}
	if err := change(); err != nil { // which may cost CAP_SETPCAP
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl PR_CAP_AMBIENT_CLEAR_ALL: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if _, _, errno := syscall.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0); errno != 0 {
		return fmt.Errorf("capset: %w", errno)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl PR_SET_NO_NEW_PRIVS: %w", err)
	}
	after, err := readRights(threadStatus)
	if err == nil && after != want {
		err = errors.New("the thread was to have no rights and has {" + after.String() + "}")
	}
	return err
}
