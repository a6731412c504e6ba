package ninep

import (
	"os/user"
	"slices"
	"syscall"

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
	// Insecure makes plain TCP believed, see the function of that name.
	Insecure bool
}

// Identify is an IdentifyFunc.
//
// EACCES: nothing is known of the peer, or nothing of what is known lets it in.
// EPERM: the claim is for another user. EINVAL: a trusted peer's uname says
// groups and cannot be read.
func (t Trust) Identify(p Peer, c Claim) (vfs.Identity, error) {
	switch {
	case p.Cert != "":
		return t.byCertificate(p.Cert, c)
	case t.Insecure && p.Network == "tcp":
		return Insecure(p, c)
	}
	return ByCredentials(p, c)
}

func (t Trust) byCertificate(cert string, c Claim) (vfs.Identity, error) {
	if c.NUname != vfs.NoID && slices.Contains(t.FrontEnds, cert) {
		return spokenFor(c)
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
	uid, number := parseID(name)
	if !number {
		if u, err := user.Lookup(name); err != nil {
			return refuse(syscall.EACCES, "the certificate %q is for a user whom this machine does not have: %v", cert, err)
		} else if uid, number = parseID(u.Uid); !number {
			return refuse(syscall.EACCES, "the certificate %q is for the user %s, whose number is %q", cert, name, u.Uid)
		}
	}
	if isNobody(uid) {
		return refuse(syscall.EACCES, "the certificate %q is for the user %s, who is nobody", cert, name)
	}
	who := lookup(uid)
	who.Cert = cert
	return who, nil
}
