package ninep

import (
	"context"
	"os/user"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Trust says what a server believes of its peers, by how they came: over a
// unix socket what ByCredentials says, over TLS what is written here of their
// certificate's name, over plain TCP nothing, unless Insecure is set. The zero
// Trust is that of a server for its own machine alone. It is not changed while in
// use.
type Trust struct {
	// FrontEnds are the names of certificates that speak for users: for them
	// n_uname, and groups in the uname, are believed.
	FrontEnds []string
	// Users maps names of certificates to a user's name or number, which is
	// looked up in this machine's user database at each attach.
	Users map[string]string
	// Strangers lets certificates attach that are in neither list: as nobody
	// (the overflow ids) with the certificate's name, for the tree to judge.
	Strangers bool
	// Insecure makes plain TCP believed: n_uname, and groups in the uname, whoever
	// says it. An attach without a number is nobody's (the overflow ids). It is for
	// a network that is trusted as a whole.
	Insecure bool
	// Munge decodes a MUNGE credential, once: an attach that comes with one is its
	// user's, over whatever, and so are later ones on the connection that name the
	// user and bring none; root's may name any user. Nil refuses those. With it plain
	// TCP is believed no more than that, even if Insecure is set: who comes without a
	// credential is refused.
	Munge func(ctx context.Context, credential []byte) (uid, gid uint32, err error)
	// Lookup finds a user by name or number in this machine's user database; nil
	// asks its files (package os/user). One who has only a number is not an error.
	// It answers soon and may be called concurrently.
	Lookup func(ctx context.Context, nameOrNumber string) (vfs.Identity, error)
}

// Identify is an IdentifyFunc.
//
// EACCES: nothing is known of the peer, or nothing of what is known lets it in.
// EPERM: the claim is for another user. EINVAL: a trusted peer's uname says
// groups and cannot be read.
func (t Trust) Identify(p Peer, c Claim) (vfs.Identity, error) {
	switch {
	case c.Credential != nil && t.Munge == nil:
		return refuse(syscall.EACCES, "no credential is asked for")
	case c.Credential != nil:
		return t.byMunge(c)
	case c.Proven != nil && t.Munge != nil && c.goesBack(p):
		return t.byProof(c)
	case p.Cert != "":
		return t.byCertificate(p.Cert, c)
	case t.Munge != nil && p.Network == "tcp":
		return refuse(syscall.EACCES, "without a MUNGE credential nobody is let in over tcp")
	case t.Insecure && p.Network == "tcp":
		return t.insecure(c)
	}
	return t.byCredentials(p, c)
}

// Trusted reports whether a peer is one whose word on others is taken, and who is who
// they say: root on a unix socket and front ends, not who comes over plain TCP. It is a
// ServerConfig.Trusted.
func (t Trust) Trusted(p Peer) bool {
	if p.HasCred {
		return p.UID == 0
	}
	return p.Cert != "" && slices.Contains(t.FrontEnds, p.Cert)
}

// byCredentials believes the kernel: the identity is that of the process at the
// other end of a unix socket. Only root may name another user, by n_uname: with the
// groups that the uname says (see Speaking for users), or else with those of this
// machine's user database, so that one kernel mount with access=user serves every
// local user as themselves. Anybody else's uname is not looked at.
func (t Trust) byCredentials(p Peer, c Claim) (vfs.Identity, error) {
	switch {
	case !p.HasCred || isNobody(p.UID):
		return refuse(syscall.EACCES, "the kernel does not tell who is at the other end")
	case c.NUname == vfs.NoID, c.NUname == p.UID && (p.UID != 0 || !saysGroups(c.Uname)):
		return identity(p.UID, p.GID, p.Groups), nil
	case p.UID != 0:
		return refuse(syscall.EPERM, "only root may attach for another user")
	}
	return t.spokenFor(c)
}

func (t Trust) insecure(c Claim) (vfs.Identity, error) {
	if isNobody(c.NUname) {
		return vfs.Identity{UID: vfs.OverflowID, GID: vfs.OverflowID}, nil
	}
	if c.NUname == 0 && !saysGroups(c.Uname) {
		return vfs.Root, nil
	}
	return t.spokenFor(c)
}

// spokenFor is the user whom a peer that is trusted speaks for.
func (t Trust) spokenFor(c Claim) (vfs.Identity, error) {
	if isNobody(c.NUname) {
		return refuse(syscall.EPERM, "the user number %d is nobody's", c.NUname)
	}
	if !saysGroups(c.Uname) {
		return t.lookup(strconv.FormatUint(uint64(c.NUname), 10))
	}
	gid, groups, err := parseUname(c.Uname)
	if err != nil {
		return refuse(syscall.EINVAL, "%v", err)
	}
	return vfs.Identity{UID: c.NUname, GID: gid, Groups: groups}, nil
}

// lookup finds a user, who is somebody.
func (t Trust) lookup(nameOrNumber string) (vfs.Identity, error) {
	find := t.Lookup
	if find == nil {
		find = inFiles
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	who, err := find(ctx, nameOrNumber)
	if err != nil {
		return refuse(syscall.EACCES, "the user %s: %v", nameOrNumber, err)
	}
	if isNobody(who.UID) {
		return refuse(syscall.EACCES, "the user %s is nobody", nameOrNumber)
	}
	return who, nil
}

// lookupTime bounds the wait for the user database.
const lookupTime = 5 * time.Second

func (t Trust) byCertificate(cert string, c Claim) (vfs.Identity, error) {
	if c.NUname != vfs.NoID && slices.Contains(t.FrontEnds, cert) {
		return t.spokenFor(c)
	}
	who, err := t.holder(cert)
	if err != nil {
		return who, err
	}
	if c.NUname != vfs.NoID && (c.NUname != who.UID || isNobody(who.UID)) {
		return refuse(syscall.EPERM, "the certificate %q does not speak for users", cert)
	}
	return who, nil
}

// holder is whom a certificate itself stands for.
func (t Trust) holder(cert string) (vfs.Identity, error) {
	name, mapped := t.Users[cert]
	if !mapped {
		if !t.Strangers {
			return refuse(syscall.EACCES, "the certificate %q is neither a front end's nor a user's here", cert)
		}
		return vfs.Identity{UID: vfs.OverflowID, GID: vfs.OverflowID, Cert: cert}, nil
	}
	who, err := t.lookup(name)
	if err != nil {
		return refuse(syscall.EACCES, "the certificate %q is for somebody whom this machine does not have: %v", cert, err)
	}
	who.Cert = cert
	return who, nil
}

// inFiles is a user as the files of the user database have them; one who has only
// a number has the overflow group and no other.
func inFiles(_ context.Context, nameOrNumber string) (vfs.Identity, error) {
	uid, number := parseID(nameOrNumber)
	u, err := user.Lookup(nameOrNumber)
	if number {
		if u, err = user.LookupId(nameOrNumber); err != nil {
			return vfs.Identity{UID: uid, GID: vfs.OverflowID}, nil
		}
	}
	if err != nil {
		return vfs.Identity{}, err
	}
	names, _ := u.GroupIds() // who has none has none
	groups := make([]uint32, 0, len(names))
	for _, name := range names {
		if g, ok := parseID(name); ok {
			groups = append(groups, g)
		}
	}
	slices.Sort(groups)
	uid, _ = parseID(u.Uid)
	gid, ok := parseID(u.Gid)
	if !ok {
		return vfs.Identity{UID: uid, GID: vfs.OverflowID}, nil
	}
	return identity(uid, gid, slices.Compact(groups)), nil
}
