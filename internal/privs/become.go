package privs

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Actor are what a process takes that starts those which act on others for users, and what the
// one of them keeps that acts for the superuser.
func Actor() []Want {
	return []Want{
		{Number: unix.CAP_SETUID, Cost: "no user but root can act on processes"},
		{Number: unix.CAP_SETGID, Cost: "no user but root can act on processes"},
		{Number: unix.CAP_KILL, Optional: true, Cost: "root cannot signal other users' processes"},
		{Number: unix.CAP_SYS_NICE, Optional: true, Cost: "root cannot change other users' priorities and processors"},
		{Number: unix.CAP_SYS_RESOURCE, Optional: true, Cost: "root cannot change other users' limits, nor raise any"},
	}
}

// Pass leaves the program, on all its threads, the capabilities of wants that it has and no
// other, and has the programs that it starts have them, too, whatever its user. It must be called
// as early as Keep, and in place of it.
func Pass(wants []Want) error {
	before, err := readRights(ownStatus)
	if err != nil {
		return fmt.Errorf("giving up rights: %w", err)
	}
	set := before.permitted & setOf(wants)
	after := rights{permitted: set, effective: set, inheritable: set, ambient: set, bounding: before.bounding, noNewPrivs: 1}
	if before.effective.Has(unix.CAP_SETPCAP) {
		after.bounding &= set
	}
	if err = dropBounding(true, before.bounding&^after.bounding); err == nil {
		if err = limit(true, set); err == nil {
			err = inherit(set)
		}
	}
	if err == nil {
		err = verify(ownThreads, after)
	}
	if err != nil {
		return fmt.Errorf("giving up rights: %w", err)
	}
	return nil
}

// inherit puts capabilities that are permitted into the inheritable and the ambient set of all
// threads.
func inherit(set Set) error {
	if err := setCaps(true, set, set); err != nil {
		return err
	}
	for n := range 64 {
		if !set.Has(n) {
			continue
		}
		if errno := call(true, unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(n)); errno != 0 {
			return fmt.Errorf("prctl PR_CAP_AMBIENT_RAISE %s: %w", name(n), errno)
		}
	}
	return nil
}

// Become makes the program that user for good, on all its threads: all ids and groups, no
// capability, nothing that could bring one, and nobody may trace it or read its memory. After an
// error the program must end.
func Become(uid, gid int, groups []int) error {
	before, err := readRights(ownStatus)
	if err != nil {
		return err
	}
	if err := undumpable(); err != nil {
		return err
	}
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("setgroups: %w", err)
	}
	if err := syscall.Setresgid(gid, gid, gid); err != nil {
		return fmt.Errorf("setresgid %d: %w", gid, err)
	}
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return fmt.Errorf("setresuid %d: %w", uid, err)
	}
	if err := limit(true, 0); err != nil {
		return err
	}
	if err := undumpable(); err != nil { // a change of ids may have made it the system's default
		return err
	}
	if err := verify(ownThreads, rights{bounding: before.bounding, noNewPrivs: 1}); err != nil {
		return err
	}
	ruid, euid, suid := unix.Getresuid()
	rgid, egid, sgid := unix.Getresgid()
	if ruid != uid || euid != uid || suid != uid || rgid != gid || egid != gid || sgid != gid {
		return errors.New("the ids are not what they were set to")
	}
	return nil
}

// Stay is Become for a program that keeps its user and the capabilities of wants that it has.
func Stay(wants []Want) error {
	before, err := readRights(ownStatus)
	if err != nil {
		return err
	}
	if err := undumpable(); err != nil {
		return err
	}
	set := before.permitted & setOf(wants) &^ (1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID)
	if err := limit(true, set); err != nil {
		return err
	}
	return verify(ownThreads, rights{permitted: set, effective: set, bounding: before.bounding, noNewPrivs: 1})
}

func undumpable() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl PR_SET_DUMPABLE: %w", err)
	}
	return nil
}
