package procfs9p

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// as runs f with the rights of who, on a thread that nothing else runs on
// meanwhile, and gives the thread its own rights back. It needs CAP_SETUID and
// CAP_SETGID.
//
// The kernel keeps credentials per thread, and what procfs asks (permissions,
// ptrace access, hidepid) it asks of the thread's fs ids, groups and effective
// capabilities: see credentials(7), setfsuid(2), capabilities(7). The calls are
// made raw because those of package syscall change every thread of the program.
//
// A thread whose rights cannot be given back is not used again: as then leaves
// it locked, so it must be called on a goroutine that ends soon after, with
// which the runtime ends the thread.
func as[T any](who vfs.Identity, f func() (T, error)) (value T, err error) {
	runtime.LockOSThread()
	own, err := threadRights()
	if err != nil {
		runtime.UnlockOSThread()
		return value, err
	}
	clean := false
	defer func() {
		if clean {
			runtime.UnlockOSThread()
		}
	}()
	err = own.switchTo(who)
	if err == nil {
		value, err = f()
	}
	if back := own.restore(); back != nil {
		if err == nil {
			err = back
		}
		return value, err
	}
	clean = true
	return value, err
}

// rights are what as changes of a thread.
type rights struct {
	fsuid, fsgid uint32
	groups       []uint32
	caps         [2]unix.CapUserData
}

func capHeader() *unix.CapUserHeader {
	return &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
}

// threadRights are those of the calling thread.
func threadRights() (*rights, error) {
	r := &rights{fsuid: fsid(unix.SYS_SETFSUID, vfs.NoID), fsgid: fsid(unix.SYS_SETFSGID, vfs.NoID)}
	if err := unix.Capget(capHeader(), &r.caps[0]); err != nil {
		return nil, fmt.Errorf("capget: %w", err)
	}
	n, _, errno := unix.RawSyscall(unix.SYS_GETGROUPS, 0, 0, 0)
	if errno != 0 {
		return nil, fmt.Errorf("getgroups: %w", errno)
	}
	if n > 0 {
		r.groups = make([]uint32, n)
		if _, _, errno = unix.RawSyscall(unix.SYS_GETGROUPS, n, uintptr(unsafe.Pointer(&r.groups[0])), 0); errno != 0 {
			return nil, fmt.Errorf("getgroups: %w", errno)
		}
	}
	return r, nil
}

// switchTo gives the calling thread the rights of who and no capability. The
// order matters: groups and ids need capabilities, which go last.
func (r *rights) switchTo(who vfs.Identity) error {
	if err := setGroups(who.Groups); err != nil {
		return err
	}
	if err := setIDs(who.UID, who.GID); err != nil {
		return err
	}
	none := r.caps
	none[0].Effective, none[1].Effective = 0, 0
	if err := unix.Capset(capHeader(), &none[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	return nil
}

// restore undoes switchTo, in the opposite order: what is permitted was kept.
func (r *rights) restore() error {
	if err := unix.Capset(capHeader(), &r.caps[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	if err := setIDs(r.fsuid, r.fsgid); err != nil {
		return err
	}
	// Going back to fsuid 0 lets the kernel raise some capabilities itself; the
	// exact set is what counts.
	if err := unix.Capset(capHeader(), &r.caps[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	return setGroups(r.groups)
}

func setGroups(groups []uint32) error {
	var p unsafe.Pointer
	if len(groups) > 0 {
		p = unsafe.Pointer(&groups[0])
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(p), 0); errno != 0 {
		return fmt.Errorf("setgroups (needs CAP_SETGID): %w", errno)
	}
	return nil
}

// setIDs sets the fs ids and asks what came of it: the calls report no error.
func setIDs(uid, gid uint32) error {
	fsid(unix.SYS_SETFSGID, gid)
	if got := fsid(unix.SYS_SETFSGID, vfs.NoID); got != gid {
		return fmt.Errorf("setfsgid %d (needs CAP_SETGID): %w", gid, unix.EPERM)
	}
	fsid(unix.SYS_SETFSUID, uid)
	if got := fsid(unix.SYS_SETFSUID, vfs.NoID); got != uid {
		return fmt.Errorf("setfsuid %d (needs CAP_SETUID): %w", uid, unix.EPERM)
	}
	return nil
}

// fsid calls setfsuid(2) or setfsgid(2), which return the id that was; NoID
// changes nothing.
func fsid(call uintptr, id uint32) uint32 {
	was, _, _ := unix.RawSyscall(call, uintptr(id), 0, 0)
	return uint32(was)
}
