package ninep

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

func TestTrust(t *testing.T) {
	root := Peer{HasCred: true, GID: 0, Groups: []uint32{0, 4}}
	user := Peer{HasCred: true, UID: 1001, GID: 100, Groups: []uint32{7, 100}}
	none := Peer{Network: "tcp"}
	head := Peer{Network: "tls", Cert: "head"}
	cert := func(name string) Peer { return Peer{Network: "tls", Cert: name} }
	local := Trust{}
	open := Trust{Insecure: true}
	secured := Trust{FrontEnds: []string{"other", "head", "both"}, Users: map[string]string{
		"dan": "daemon", "five": "5", "both": "daemon", "boss": "root", "lost": "nobody-of-that-name", "nil": "65534", "nob": "nobody",
	}}
	strangers := Trust{FrontEnds: []string{"head"}, Strangers: true}
	const unknown = 3_999_999 // a user that no machine has
	nobody := vfs.Identity{UID: vfs.OverflowID, GID: vfs.OverflowID}
	named := func(id vfs.Identity, cert string) vfs.Identity { id.Cert = cert; return id }
	daemon := vfs.Identity{UID: 1, GID: 1} // on every Debian
	for i, tt := range []struct {
		trust   Trust
		peer    Peer
		uname   string
		n_uname uint32
		want    vfs.Identity
		err     syscall.Errno
	}{
		{local, root, "root", vfs.NoID, vfs.Identity{Groups: []uint32{4}}, 0},
		{local, root, "@5:6", vfs.NoID, vfs.Identity{Groups: []uint32{4}}, 0},
		{local, root, "root", 0, vfs.Identity{Groups: []uint32{4}}, 0},
		{local, root, "@0:", 0, vfs.Root, 0},
		{local, root, "@5:6,7", 0, vfs.Identity{GID: 5, Groups: []uint32{6, 7}}, 0},
		{local, root, "", unknown, vfs.Identity{UID: unknown, GID: vfs.OverflowID}, 0},
		{local, root, "", 1, daemon, 0},
		{local, root, "@1:", 1, daemon, 0},
		{local, root, "@4:7", 1, vfs.Identity{UID: 1, GID: 4, Groups: []uint32{7}}, 0},
		{local, root, "@4:7,7", 1, vfs.Identity{}, syscall.EINVAL},
		{local, root, "@", 0, vfs.Identity{}, syscall.EINVAL},
		{local, root, "@4:7", vfs.OverflowID, vfs.Identity{}, syscall.EPERM},
		{local, root, "", vfs.OverflowID, vfs.Identity{}, syscall.EPERM},
		{local, user, "root", vfs.NoID, vfs.Identity{UID: 1001, GID: 100, Groups: []uint32{7}}, 0},
		{local, user, "root", 1001, vfs.Identity{UID: 1001, GID: 100, Groups: []uint32{7}}, 0},
		{local, user, "@0:4,27", 1001, vfs.Identity{UID: 1001, GID: 100, Groups: []uint32{7}}, 0},
		{local, user, "@x", 1001, vfs.Identity{UID: 1001, GID: 100, Groups: []uint32{7}}, 0},
		{local, user, "root", 1002, vfs.Identity{}, syscall.EPERM},
		{local, user, "@0:", 0, vfs.Identity{}, syscall.EPERM},
		{local, user, "", vfs.OverflowID, vfs.Identity{}, syscall.EPERM},
		{local, Peer{HasCred: true, UID: vfs.OverflowID}, "", vfs.NoID, vfs.Identity{}, syscall.EACCES},
		{local, Peer{HasCred: true, UID: vfs.OverflowID}, "", vfs.OverflowID, vfs.Identity{}, syscall.EACCES},
		{local, none, "root", vfs.NoID, vfs.Identity{}, syscall.EACCES},
		{local, none, "root", 0, vfs.Identity{}, syscall.EACCES},
		{local, head, "@0:", 0, vfs.Identity{}, syscall.EACCES},

		{open, none, "", 0, vfs.Root, 0},
		{open, none, "", unknown, vfs.Identity{UID: unknown, GID: vfs.OverflowID}, 0},
		{open, none, "@3:4", unknown, vfs.Identity{UID: unknown, GID: 3, Groups: []uint32{4}}, 0},
		{open, none, "@3:4", vfs.NoID, nobody, 0},
		{open, none, "", vfs.OverflowID, nobody, 0},
		{open, none, "@3", 7, vfs.Identity{}, syscall.EINVAL},
		{open, user, "@0:", 0, vfs.Identity{}, syscall.EPERM},      // who came by a unix socket is known
		{open, head, "@0:", 0, vfs.Identity{}, syscall.EACCES},     // and so is a certificate
		{open, Peer{}, "@0:", 0, vfs.Identity{}, syscall.EACCES},   // this is no TCP
		{secured, none, "@0:", 0, vfs.Identity{}, syscall.EACCES},  // nor is this trusted
		{secured, user, "@0:", 0, vfs.Identity{}, syscall.EPERM},   //
		{secured, root, "@4:", 1, vfs.Identity{UID: 1, GID: 4}, 0}, //

		{secured, head, "@3:4", unknown, vfs.Identity{UID: unknown, GID: 3, Groups: []uint32{4}}, 0},
		{secured, head, "", 1, daemon, 0},
		{secured, head, "root", 0, vfs.Root, 0},
		{secured, head, "@3:x", 1, vfs.Identity{}, syscall.EINVAL},
		{secured, head, "@3:", vfs.OverflowID, vfs.Identity{}, syscall.EPERM},
		{secured, head, "@3:", vfs.NoID, vfs.Identity{}, syscall.EACCES}, // speaks for others only
		{secured, cert("both"), "", vfs.NoID, named(daemon, "both"), 0},
		{secured, cert("both"), "@3:4", 7, vfs.Identity{UID: 7, GID: 3, Groups: []uint32{4}}, 0},
		{secured, cert("dan"), "@0:4", vfs.NoID, named(daemon, "dan"), 0},
		{secured, cert("dan"), "@0:4", 1, named(daemon, "dan"), 0},
		{secured, cert("dan"), "@0:", 0, vfs.Identity{}, syscall.EPERM},
		{secured, cert("boss"), "@7:", 1, vfs.Identity{}, syscall.EPERM}, // root's, and yet no front end's
		{secured, cert("boss"), "", 0, named(vfs.Root, "boss"), 0},
		{secured, cert("lost"), "", vfs.NoID, vfs.Identity{}, syscall.EACCES},
		{secured, cert("nil"), "", vfs.NoID, vfs.Identity{}, syscall.EACCES},
		{secured, cert("nob"), "", vfs.NoID, vfs.Identity{}, syscall.EACCES},
		{secured, cert("HEAD"), "@0:", 0, vfs.Identity{}, syscall.EACCES},
		{secured, cert("stranger"), "", vfs.NoID, vfs.Identity{}, syscall.EACCES},

		{strangers, cert("stranger"), "@0:", vfs.NoID, named(nobody, "stranger"), 0},
		{strangers, cert("stranger"), "@0:", 0, vfs.Identity{}, syscall.EPERM},
		{strangers, cert("stranger"), "", vfs.OverflowID, vfs.Identity{}, syscall.EPERM},
		{strangers, head, "", vfs.NoID, named(nobody, "head"), 0},
		{strangers, none, "", vfs.NoID, vfs.Identity{}, syscall.EACCES},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			got, err := tt.trust.Identify(tt.peer, Claim{Uname: tt.uname, NUname: tt.n_uname})
			if vfs.Errno(err) != tt.err || err == nil && !got.Equal(tt.want) {
				t.Errorf("%+v, %v; want %+v, %v", got, err, tt.want, tt.err)
			}
		})
	}
	if who, err := secured.Identify(cert("five"), Claim{NUname: vfs.NoID}); err != nil || who.UID != 5 || who.Cert != "five" {
		t.Errorf("a user by number: %+v, %v", who, err)
	}
}
