package remotecalls

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A caller is the thread that makes a call, as it is in that moment.
type caller struct {
	tid, tgid  int
	real, user uint32 // uid
	realG, gid uint32
	groups     []uint32 // sorted, without gid
	caps       uint64   // effective
	initial    bool     // its user namespace is the machine's first; looked up for user 0 alone
}

// initialUserNS is the number of the machine's first user namespace (PROC_USER_INIT_INO of
// linux/proc_ns.h).
const initialUserNS = 0xEFFFFFFD

// callerOf reads a thread's status in a native procfs, proc_pid_status(5). Whose it is is known
// only once the kernel has said, afterwards, that the thread's call waits.
func callerOf(proc string, tid uint32) (c caller, err error) {
	dir := proc + "/" + strconv.FormatUint(uint64(tid), 10)
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return c, err
	}
	c.tid = int(tid)
	tgid, ok := procfile.StatusNumber(status, "Tgid")
	c.tgid = int(tgid)
	uids, gids := ids(procfile.StatusValue(status, "Uid")), ids(procfile.StatusValue(status, "Gid"))
	groups, all := procfile.StatusValue(status, "Groups"), []uint32(nil)
	caps, capsErr := strconv.ParseUint(string(procfile.StatusValue(status, "CapEff")), 16, 64)
	if !ok || len(uids) != 4 || len(gids) != 4 || capsErr != nil {
		return c, fmt.Errorf("%s/status is not as proc_pid_status(5) has it", dir)
	}
	c.real, c.user, c.realG, c.gid, c.caps = uids[0], uids[1], gids[0], gids[1], caps
	for _, g := range ids(groups) {
		if g != c.gid {
			all = append(all, g)
		}
	}
	slices.Sort(all)
	c.groups = slices.Compact(all)
	if c.real == 0 || c.user == 0 {
		info, err := os.Stat(dir + "/ns/user")
		if err != nil {
			return c, err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		c.initial = ok && st.Ino == initialUserNS
	}
	return c, nil
}

// ids are the numbers of a line of status.
func ids(line []byte) []uint32 {
	var all []uint32
	for _, field := range bytes.Fields(line) {
		n, err := strconv.ParseUint(string(field), 10, 32)
		if err != nil {
			return nil
		}
		all = append(all, uint32(n))
	}
	return all
}

// asWhom is all that the thread may act by: a number can be another process's a moment later.
func (c *caller) asWhom() string {
	return fmt.Sprint(c.real, c.user, c.realG, c.gid, c.groups, c.caps, c.initial)
}

// reads is as whom the tree is read.
func (c *caller) reads() vfs.Identity { return c.as(c.user) }

// isRoot reports whether the thread is user 0 with a capability that counts.
func (c *caller) isRoot(capability uint) bool {
	return c.user == 0 && c.initial && c.caps&(1<<capability) != 0
}

// acts are the identities as whom the thread may act, one after the other while nodes refuse:
// the effective user's, and the real one's where either will do (kill(2), ioprio_set(2)). User 0
// is among them only as root.
func (c *caller) acts(capability uint, eitherWillDo bool) []vfs.Identity {
	if c.isRoot(capability) {
		return []vfs.Identity{vfs.Root}
	}
	uids := []uint32{c.user}
	if eitherWillDo && c.real != c.user {
		uids = append(uids, c.real)
	}
	var all []vfs.Identity
	for _, uid := range uids {
		if uid != 0 && uid != vfs.NoID && uid != vfs.OverflowID {
			all = append(all, c.as(uid))
		}
	}
	return all
}

func (c *caller) as(uid uint32) vfs.Identity {
	if uid == 0 {
		return vfs.Root
	}
	return vfs.Identity{UID: uid, GID: c.gid, Groups: c.groups}
}

// mayProbe reports whether kill(2) would let the thread send a signal to a process of those ids,
// which are a Uid line of status.
func (c *caller) mayProbe(uids []uint32) bool {
	if c.isRoot(unix.CAP_KILL) {
		return true
	}
	if len(uids) < 3 {
		return false
	}
	for _, theirs := range []uint32{uids[0], uids[2]} {
		if theirs == c.user || theirs == c.real {
			return true
		}
	}
	return false
}
