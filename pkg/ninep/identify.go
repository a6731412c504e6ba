package ninep

import (
	"fmt"
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
	// Credential is what the client wrote to the fid of a Tauth; nil where it made
	// none, which it can only where ServerConfig.Auth is set.
	Credential []byte
	// Proven is whom the last credential was from that was taken on this connection,
	// since it began (a Tversion does not change that); nil where there was none.
	Proven *vfs.Identity
}

// An IdentifyFunc decides who attaches: the identity that the tree is attached
// for, or the errno of a refusal, with what the log should say of it. It may be
// called concurrently.
type IdentifyFunc func(Peer, Claim) (vfs.Identity, error)

// ByCredentials is the IdentifyFunc of the zero Trust: it believes the kernel.
func ByCredentials(p Peer, c Claim) (vfs.Identity, error) { return Trust{}.byCredentials(p, c) }

// refuse is a refusal: the errno is for the client, the rest for the log.
func refuse(errno syscall.Errno, format string, args ...any) (vfs.Identity, error) {
	return vfs.Identity{}, fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), errno)
}

// isNobody reports whether uid is one of those that stand for nobody in particular.
func isNobody(uid uint32) bool { return uid == vfs.OverflowID || uid == vfs.NoID }

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
