package mountserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/internal/handover"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// peer is a user's process on this machine.
func peer(uid uint32, pid int) ninep.Peer {
	return ninep.Peer{Network: "unix", HasCred: true, UID: uid, GID: uid, PID: int32(pid)}
}

// What only root may ask for, and what makes no sense, is refused before the device is looked
// at.
func TestRefused(t *testing.T) {
	s := New(Config{Identify: ninep.ByCredentials, Limits: Limits{UserMounts: 1}})
	for _, tc := range []struct {
		name  string
		peer  ninep.Peer
		offer handover.Offer
		want  syscall.Errno
	}{
		{"a user for all", peer(1001, 1), handover.Offer{Native: "/proc", AllUsers: true}, syscall.EPERM},
		{"a user as root", peer(1001, 1), handover.Offer{Native: "/proc", As: &handover.Identity{}}, syscall.EPERM},
		{"who is not known, for all", ninep.Peer{Network: "unix"}, handover.Offer{Native: "/proc", AllUsers: true}, syscall.EPERM},
		{"who is not known", ninep.Peer{Network: "unix"}, handover.Offer{Native: "/proc"}, syscall.EACCES},
		{"nobody", peer(vfs.OverflowID, 1), handover.Offer{Native: "/proc"}, syscall.EACCES},
		{"no native procfs", peer(1001, 1), handover.Offer{}, syscall.EINVAL},
		{"a relative one", peer(1001, 1), handover.Offer{Native: "proc"}, syscall.EINVAL},
	} {
		if _, err := s.begin(&handover.Taken{Offer: tc.offer}, tc.peer); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	if len(s.accounts.users) != 0 || s.accounts.all != 0 {
		t.Errorf("mounts that were refused count: %v", s.accounts.users)
	}
}

// What is no CPU is left out of an offer's, whatever it is.
func TestCPUs(t *testing.T) {
	set := cpuSet([]int{-64000, -64, -1, 3, 1023, 1024, 1 << 40})
	if set == nil || set.Count() != 2 || !set.IsSet(3) || !set.IsSet(1023) {
		t.Errorf("%v", set)
	}
	if set := cpuSet([]int{-1 << 62}); set != nil {
		t.Errorf("of none there are %d", set.Count())
	}
}

// A user has a number of mounts, whatever numbers their namespaces give them, and one account
// for all of them; all users have a number; and root any.
func TestMounts(t *testing.T) {
	a := newAccounts(Limits{Mounts: 4, UserMounts: 2}, func(uid uint32) (uint32, bool) {
		if uid >= 100000 {
			return 1001, true // subordinate
		}
		return uid, true
	})
	var leave []func()
	enter := func(uid uint32) mountLimits {
		t.Helper()
		m, f, err := a.enter(uid)
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, f)
		return m
	}
	refused := func(what string, uid uint32) {
		t.Helper()
		if _, _, err := a.enter(uid); !errors.Is(err, syscall.ENFILE) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if first, second := enter(1001), enter(100007); first.account != second.account || first.account == nil {
		t.Error("two mounts of a user are on two accounts, or on none")
	}
	refused("a third", 1001)
	refused("a third by a subordinate id", 100008)
	if other := enter(1002); other.account == a.users[1001].fuse {
		t.Error("another user is on the same account")
	}
	enter(1003)
	refused("one more than all may have", 1004)
	// What a user does on a mount for all users is on the account of that user, too.
	of, done := a.guests()
	if of(vfs.Identity{UID: 1001}) != a.users[1001].fuse || of(vfs.Identity{UID: 100009}) != a.users[1001].fuse || of(vfs.Identity{UID: 1005}) == of(vfs.Identity{UID: 1006}) || of(vfs.Root) == nil {
		t.Error("guests of a mount are not on their own accounts")
	}
	leave = append(leave, done)
	leave[0]()
	enter(1001)
	for range 100 {
		enter(0)
	}
	for _, f := range leave[1:] {
		f()
	}
	if a.all != 0 || len(a.users) != 0 {
		t.Errorf("%d mounts of %d users count after the end", a.all, len(a.users))
	}
}

// Owners are numbered as in the mounter's user namespace; who has no number there is nobody.
func TestIDs(t *testing.T) {
	proc := t.TempDir()
	for pid, maps := range map[int][2]string{
		10: {"0 0 4294967295\n", "0 0 4294967295\n"},
		11: {"0 1001 1\n", "0 1002 1\n"},
		12: {"0 1001 1\n1 100000 65536\n", "0 1001 1\n1 100000 65536\n"},
		13: {"nonsense\n", ""},
	} {
		dir := filepath.Join(proc, fmt.Sprint(pid))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"uid_map", "gid_map"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(maps[i]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if f := procfs(proc).idsOf(peer(1001, 10)); f != nil {
		t.Error("who is in no namespace is translated")
	}
	type ids struct{ uid, gid uint32 }
	for _, tc := range []struct {
		pid      int
		is, want ids
	}{
		{11, ids{0, 0}, ids{vfs.NoID, vfs.NoID}},
		{11, ids{1001, 1002}, ids{0, 0}},
		{11, ids{1002, 1001}, ids{vfs.NoID, vfs.NoID}},
		{12, ids{0, 100000}, ids{vfs.NoID, 1}},
		{12, ids{165535, 165536}, ids{65536, vfs.NoID}},
		{13, ids{0, 0}, ids{vfs.NoID, vfs.NoID}},
		{13, ids{1001, 1001}, ids{1001, vfs.NoID}},
		{14, ids{1001, 1001}, ids{1001, 1001}}, // which is not there
		{14, ids{0, 7}, ids{vfs.NoID, vfs.NoID}},
		{0, ids{0, 1001}, ids{vfs.NoID, 1001}}, // which this process cannot see
	} {
		uid, gid := procfs(proc).idsOf(peer(1001, tc.pid))(tc.is.uid, tc.is.gid)
		if got := (ids{uid, gid}); got != tc.want {
			t.Errorf("process %d: %v is %v, want %v", tc.pid, tc.is, got, tc.want)
		}
	}
}

// Thread ids are of use where the mounter numbers processes as this process does.
func TestSharesPIDs(t *testing.T) {
	start := func(flags uintptr) int {
		cmd := exec.Command("sleep", "60")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		return cmd.Process.Pid
	}
	p := procfs("/proc")
	if !p.sharesPIDs(peer(0, os.Getpid())) || !p.sharesPIDs(peer(0, start(0))) {
		t.Error("processes of this namespace are taken for others")
	}
	if p.sharesPIDs(peer(0, start(syscall.CLONE_NEWPID))) {
		t.Error("a process of another namespace is taken for one of this")
	}
	if p.sharesPIDs(peer(0, 0)) || p.sharesPIDs(peer(0, -1)) || p.sharesPIDs(peer(0, 1<<30)) {
		t.Error("a process that is not there is taken for one of this namespace")
	}
}
