package procfs9p

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// rights are what every thread of the leaf has. They are read once, before they
// are first lent: a program gives up what it does not need before it serves
// anybody (capset(2), setuid(2)), and nothing afterwards.
//
// To lend them takes CAP_SETUID and CAP_SETGID in effect: those of the
// superuser, or of a user as whom the leaf runs with these capabilities.
type rights struct {
	once sync.Once
	err  error // of reading; what follows is then not known

	uid, gid uint32   // effective
	groups   []uint32 // sorted
	caps     [2]unix.CapUserData
	// kernelDrops: to leave the effective user id 0 empties the effective set,
	// and to come back to it fills it again with exactly what it was
	// (capabilities(7), "Effect of user ID changes on capabilities"). Otherwise
	// capset(2) does both.
	kernelDrops bool

	anySpoilt atomic.Bool
	spoilt    sync.Map // thread id: see spoil
}

// secureNoSetuidFixup is SECBIT_NO_SETUID_FIXUP, see capabilities(7).
const secureNoSetuidFixup = 1 << 2

// ready reads the rights of the calling thread, which nobody else has, if that
// has not been done.
func (r *rights) ready() error {
	r.once.Do(func() { r.err = r.read() })
	return r.err
}

func (r *rights) read() error {
	_, uid, _ := unix.Getresuid()
	_, gid, _ := unix.Getresgid()
	r.uid, r.gid = uint32(uid), uint32(gid)
	groups, err := unix.Getgroups()
	if err != nil {
		return fmt.Errorf("getgroups: %w", err)
	}
	for _, g := range groups {
		r.groups = append(r.groups, uint32(g))
	}
	slices.Sort(r.groups)
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &r.caps[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	bits, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	if err != nil {
		return fmt.Errorf("prctl PR_GET_SECUREBITS: %w", err)
	}
	r.kernelDrops = r.uid == 0 && bits&secureNoSetuidFixup == 0 &&
		r.caps[0].Effective == r.caps[0].Permitted && r.caps[1].Effective == r.caps[1].Permitted
	return nil
}

// hiddenFrom reports whether the leaf itself is one of those from whom a procfs
// with these options hides the processes of others: then it lists some of them only.
func (r *rights) hiddenFrom(options procfile.Options) (bool, error) {
	if options.HidePID < procfile.HideProcess {
		return false, nil
	}
	if err := r.ready(); err != nil {
		return false, err
	}
	traces := r.caps[unix.CAP_SYS_PTRACE/32].Effective>>(unix.CAP_SYS_PTRACE%32)&1 == 1
	return !traces && options.Hide(&vfs.Identity{UID: r.uid, GID: r.gid, Groups: r.groups}, procfile.HideProcess), nil
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
func (r *rights) lend(who *vfs.Identity) (done loan, err error) {
	if !slices.Equal(who.Groups, r.groups) {
		if err = setGroups(who.Groups); err != nil {
			return done, err
		}
		done |= groupsLent
	}
	if who.GID != r.gid {
		if err = setEffective(sysSetresgid, "setresgid", "CAP_SETGID", who.GID); err != nil {
			return done, err
		}
		done |= gidLent
	}
	if who.UID != r.uid {
		if err = setEffective(sysSetresuid, "setresuid", "CAP_SETUID", who.UID); err != nil {
			return done, err
		}
		done |= uidLent
	}
	if r.kernelDrops && done&uidLent != 0 || r.caps[0].Effective|r.caps[1].Effective == 0 {
		return done, nil
	}
	none := r.caps
	none[0].Effective, none[1].Effective = 0, 0
	if err = setCaps(&none); err == nil {
		done |= capsLent
	}
	return done, err
}

// takeBack undoes what lend did, in the opposite order: first the capabilities
// that the rest takes, which are still permitted.
func (r *rights) takeBack(lent loan) error {
	if lent&capsLent != 0 {
		if err := setCaps(&r.caps); err != nil {
			return err
		}
	}
	if lent&uidLent != 0 {
		if err := setEffective(sysSetresuid, "setresuid", "CAP_SETUID", r.uid); err != nil {
			return err
		}
		if r.uid == 0 && !r.kernelDrops { // the kernel may have raised more than there was
			if err := setCaps(&r.caps); err != nil {
				return err
			}
		}
	}
	if lent&gidLent != 0 {
		if err := setEffective(sysSetresgid, "setresgid", "CAP_SETGID", r.gid); err != nil {
			return err
		}
	}
	if lent&groupsLent != 0 {
		return setGroups(r.groups)
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

// spoil notes that the calling thread could not be given its rights back. It
// belongs to the calling goroutine until that ends.
func (r *rights) spoil() {
	r.spoilt.Store(unix.Gettid(), true)
	r.anySpoilt.Store(true)
}

// onSpoilt tells whether the calling goroutine is locked to such a thread.
func (r *rights) onSpoilt() bool {
	if !r.anySpoilt.Load() {
		return false
	}
	_, spoilt := r.spoilt.Load(unix.Gettid())
	return spoilt
}
