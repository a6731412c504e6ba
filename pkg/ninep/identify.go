package ninep

import (
	"os/user"
	"slices"
	"strconv"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Claim is what a client says of itself in an attach. No part of it is true
// unless the policy has a reason to believe it.
type Claim struct {
	Uname  string
	NUname uint32 // vfs.NoID is "none"
	Aname  string
}

// An IdentifyFunc decides who attaches: the identity that the tree is attached
// for, or the errno of a refusal. It may be called concurrently.
type IdentifyFunc func(Peer, Claim) (vfs.Identity, error)

// ByCredentials believes the kernel: the identity is that of the process at
// the other end of a unix socket. Only root may name another user, by n_uname,
// and gets that user's group and groups from this machine's user database, so
// that one kernel mount with access=user serves every local user as themselves.
//
// EACCES: the kernel does not tell who the peer is (TCP, or a user without a
// number here). EPERM: the claim is for another user.
func ByCredentials(p Peer, c Claim) (vfs.Identity, error) {
	if !p.HasCred || p.UID == vfs.OverflowID || p.UID == vfs.NoID {
		return vfs.Identity{}, syscall.EACCES
	}
	if c.NUname == vfs.NoID || c.NUname == p.UID {
		return identity(p.UID, p.GID, p.Groups), nil
	}
	if p.UID != 0 || c.NUname == vfs.OverflowID {
		return vfs.Identity{}, syscall.EPERM
	}
	return lookup(c.NUname), nil
}

// Insecure believes n_uname, whoever says it. An attach without one is nobody's
// (the overflow ids). It is for a network that is trusted as a whole.
func Insecure(_ Peer, c Claim) (vfs.Identity, error) {
	switch c.NUname {
	case 0:
		return vfs.Root, nil
	case vfs.NoID, vfs.OverflowID:
		return vfs.Identity{UID: vfs.OverflowID, GID: vfs.OverflowID}, nil
	}
	return lookup(c.NUname), nil
}

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
