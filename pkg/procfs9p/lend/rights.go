package lend

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// Own are the rights that every thread of the program has of its own.
//
// To lend somebody else's takes CAP_SETUID and CAP_SETGID in effect: those of the
// superuser, or of a user as whom the program runs with these capabilities.
type Own struct {
	UID, GID uint32   // effective
	Groups   []uint32 // sorted

	caps [2]unix.CapUserData
	// kernelDrops: to leave the effective user id 0 empties the effective set,
	// and to come back to it fills it again with exactly what it was
	// (capabilities(7), "Effect of user ID changes on capabilities"). Otherwise
	// capset(2) does both.
	kernelDrops bool
}

// secureNoSetuidFixup is SECBIT_NO_SETUID_FIXUP, see capabilities(7).
const secureNoSetuidFixup = 1 << 2

// ReadOwn reads the rights of the calling thread.
func ReadOwn() (*Own, error) {
	_, uid, _ := unix.Getresuid()
	_, gid, _ := unix.Getresgid()
	own := &Own{UID: uint32(uid), GID: uint32(gid)}
	groups, err := unix.Getgroups()
	if err != nil {
		return nil, fmt.Errorf("getgroups: %w", err)
	}
	for _, g := range groups {
		own.Groups = append(own.Groups, uint32(g))
	}
	slices.Sort(own.Groups)
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &own.caps[0]); err != nil {
		return nil, fmt.Errorf("capget: %w", err)
	}
	bits, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	if err != nil {
		return nil, fmt.Errorf("prctl PR_GET_SECUREBITS: %w", err)
	}
	own.kernelDrops = own.UID == 0 && bits&secureNoSetuidFixup == 0 &&
		own.caps[0].Effective == own.caps[0].Permitted && own.caps[1].Effective == own.caps[1].Permitted
	return own, nil
}

// Traces reports whether CAP_SYS_PTRACE is in effect.
func (o *Own) Traces() bool {
	return o.caps[unix.CAP_SYS_PTRACE/32].Effective>>(unix.CAP_SYS_PTRACE%32)&1 == 1
}

// loan is what has been changed of a thread.
type loan uint8

const (
	groupsLent loan = 1 << iota
	gidLent
	uidLent
	capsLent
)

// lend gives the calling thread the rights of who and no capability in effect.
// The order matters: ids and groups take capabilities, which go last. What was
// done is told after an error, too.
//
// The calls are raw because those of package syscall change every thread of the
// program.
func (o *Own) lend(who *vfs.Identity) (done loan, err error) {
	if !slices.Equal(who.Groups, o.Groups) {
		if err = setGroups(who.Groups); err != nil {
			return done, err
		}
		done |= groupsLent
	}
	if who.GID != o.GID {
		if err = setEffective(sysSetresgid, "setresgid", "CAP_SETGID", who.GID); err != nil {
			return done, err
		}
		done |= gidLent
	}
	if who.UID != o.UID {
		if err = setEffective(sysSetresuid, "setresuid", "CAP_SETUID", who.UID); err != nil {
			return done, err
		}
		done |= uidLent
	}
	if o.kernelDrops && done&uidLent != 0 || o.caps[0].Effective|o.caps[1].Effective == 0 {
		return done, nil
	}
	none := o.caps
	none[0].Effective, none[1].Effective = 0, 0
	if err = setCaps(&none); err == nil {
		done |= capsLent
	}
	return done, err
}

// takeBack undoes what lend did, in the opposite order: first the capabilities
// that the rest takes, which are still permitted.
func (o *Own) takeBack(lent loan) error {
	if lent&capsLent != 0 {
		if err := setCaps(&o.caps); err != nil {
			return err
		}
	}
	if lent&uidLent != 0 {
		if err := setEffective(sysSetresuid, "setresuid", "CAP_SETUID", o.UID); err != nil {
			return err
		}
		if o.UID == 0 && !o.kernelDrops { // the kernel may have raised more than there was
			if err := setCaps(&o.caps); err != nil {
				return err
			}
		}
	}
	if lent&gidLent != 0 {
		if err := setEffective(sysSetresgid, "setresgid", "CAP_SETGID", o.GID); err != nil {
			return err
		}
	}
	if lent&groupsLent != 0 {
		return setGroups(o.Groups)
	}
	return nil
}

func setGroups(groups []uint32) error {
	if _, _, errno := unix.RawSyscall(sysSetgroups, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))), 0); errno != 0 {
		return fmt.Errorf("setgroups (needs CAP_SETGID): %w", errno)
	}
	return nil
}

// setEffective sets the effective id of the calling thread, and with it the fs
// id (setresuid(2), setfsuid(2)). The real and the saved id stay.
func setEffective(call uintptr, name, needs string, id uint32) error {
	const keep = ^uintptr(0)
	if _, _, errno := unix.RawSyscall(call, keep, uintptr(id), keep); errno != 0 {
		return fmt.Errorf("%s %d (needs %s): %w", name, id, needs, errno)
	}
	return nil
}

func setCaps(caps *[2]unix.CapUserData) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if _, _, errno := unix.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(caps)), 0); errno != 0 {
		return fmt.Errorf("capset: %w", errno)
	}
	return nil
}
