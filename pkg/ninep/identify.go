package ninep

import (
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Claim is what a client says of itself in an attach. No part of it is true
// unless the policy has a reason to believe it.
type Claim struct {
	Uname  string // a name, which is not believed, or groups (see Speaking for users)
	NUname uint32 // vfs.NoID is "none"
	Aname  string
}

// An IdentifyFunc decides who attaches: the identity that the tree is attached
// for, or the errno of a refusal, with what the log should say of it. It may be
// called concurrently.
type IdentifyFunc func(Peer, Claim) (vfs.Identity, error)

// ByCredentials believes the kernel: the identity is that of the process at
// the other end of a unix socket. Only root may name another user, by n_uname:
// with the groups that the uname says (see Speaking for users), or else with those
// of this machine's user database, so that one kernel mount with access=user serves
// every local user as themselves. Anybody else's uname is not looked at.
//
// EACCES: the kernel does not tell who the peer is (TCP, or a user without a
// number here). EPERM: the claim is for another user. EINVAL: root's uname says
// groups and cannot be read.
func ByCredentials(p Peer, c Claim) (vfs.Identity, error) {
	switch {
	case !p.HasCred || isNobody(p.UID):
		return refuse(syscall.EACCES, "the kernel does not tell who is at the other end")
	case c.NUname == vfs.NoID, c.NUname == p.UID && (p.UID != 0 || !saysGroups(c.Uname)):
		return identity(p.UID, p.GID, p.Groups), nil
	case p.UID != 0:
		return refuse(syscall.EPERM, "only root may attach for another user")
	}
	return spokenFor(c)
}

// Insecure believes n_uname, and groups in the uname, whoever says it. An attach
// without a number is nobody's (the overflow ids). It is for a network that is
// trusted as a whole.
func Insecure(_ Peer, c Claim) (vfs.Identity, error) {
	if isNobody(c.NUname) {
		return vfs.Identity{UID: vfs.OverflowID, GID: vfs.OverflowID}, nil
	}
	if c.NUname == 0 && !saysGroups(c.Uname) {
		return vfs.Root, nil
	}
	return spokenFor(c)
}

// spokenFor is the user whom a peer that is trusted speaks for.
func spokenFor(c Claim) (vfs.Identity, error) {
	if isNobody(c.NUname) {
		return refuse(syscall.EPERM, "the user number %d is nobody's", c.NUname)
	}
	if !saysGroups(c.Uname) {
		return lookup(c.NUname), nil
	}
	gid, groups, err := parseUname(c.Uname)
	if err != nil {
		return refuse(syscall.EINVAL, "%v", err)
	}
	return vfs.Identity{UID: c.NUname, GID: gid, Groups: groups}, nil
}

// refuse is a refusal: the errno is for the client, the rest for the log.
func refuse(errno syscall.Errno, format string, args ...any) (vfs.Identity, error) {
	return vfs.Identity{}, fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), errno)
}

// isNobody tells whether uid is one of those that stand for nobody in particular.
func isNobody(uid uint32) bool { return uid == vfs.OverflowID || uid == vfs.NoID }

// lookup is the user of that number as the user database has it; one who is not
// in it has the overflow group and no other.
func lookup(uid uint32) vfs.Identity {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return vfs.Identity{UID: uid, GID: vfs.OverflowID}
	}
	gid, ok := parseID(u.Gid)
	if !ok {
		return vfs.Identity{UID: uid, GID: vfs.OverflowID}
	}
	names, err := u.GroupIds()
	if err != nil {
		names = nil
	}
	groups := make([]uint32, 0, len(names))
	for _, name := range names {
		if g, ok := parseID(name); ok {
			groups = append(groups, g)
		}
	}
	slices.Sort(groups)
	return identity(uid, gid, slices.Compact(groups))
}

func parseID(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil
}

// identity has groups, which are sorted, without gid.
func identity(uid, gid uint32, groups []uint32) vfs.Identity {
	id := vfs.Identity{UID: uid, GID: gid}
	for _, g := range groups {
		if g != gid {
			id.Groups = append(id.Groups, g)
		}
	}
	return id
}
