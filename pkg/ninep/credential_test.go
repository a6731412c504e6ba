package ninep

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/internal/munge/mungetest"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// TestMungeOnce: mount.diod shows a credential, lets go of its fids and hands the
// connection to the kernel, which begins anew and attaches without one. What the
// credential does not cover is refused.
func TestMungeOnce(t *testing.T) {
	r, socket, who := mungeRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := r.serveOn(l)
	const version = `Tversion ~ msize=8192 version="9P2000.L"`
	// later attaches without a credential, and is for whom that was.
	later := func(k *talk, fid int, uname string, uid uint32) (vfs.Identity, syscall.Errno) {
		t.Helper()
		frame, err := encodeText(fmt.Sprintf(`Tattach.L 1 fid=%d afid=~ uname=%q aname="" nuname=%d`, fid, uname, uid))
		if err != nil {
			t.Fatal(err)
		}
		k.write(frame)
		if e := errnoIn(k.read()); e != 0 {
			return vfs.Identity{}, e
		}
		return <-who, 0
	}
	dial := func() *talk {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		k := r.talk(conn)
		k.exchange(version)
		return k
	}
	prove := func(k *talk, uid, gid uint32) {
		t.Helper()
		cred := mungetest.Credential(t, socket, uid, gid)
		k.exchange(fmt.Sprintf(`Tauth.L 1 afid=9 uname="" aname="" nuname=%d`, uid), fmt.Sprintf("Twrite 2 fid=9 offset=0 data=%q", cred))
		last := k.exchange(fmt.Sprintf(`Tattach.L 1 fid=8 afid=9 uname="" aname="" nuname=%d`, uid))
		if !strings.HasPrefix(last, fmt.Sprintf("[%d ", tAttach+1)) {
			t.Fatalf("with a credential: %s; %q", last, r.lines())
		}
		<-who
		k.exchange("Tclunk 1 fid=8", "Tclunk 1 fid=9", version)
	}

	ann := dial()
	if _, e := later(ann, 0, "", 1234); e != syscall.EACCES {
		t.Errorf("before a credential: %v", e)
	}
	prove(ann, 1234, 5678)
	for i, uid := range []uint32{1234, vfs.NoID, 1234} {
		if got, e := later(ann, i, "@0:4,27", uid); e != 0 || got.UID != 1234 || got.GID != 5678 || len(got.Groups) != 0 {
			t.Errorf("the user again: %v, %v", got, e)
		}
	}
	for _, uid := range []uint32{0, 1, 1235, vfs.OverflowID} {
		if got, e := later(ann, 7, "", uid); e != syscall.EPERM {
			t.Errorf("as %d: %v, %v", uid, got, e)
		}
	}

	root := dial()
	prove(root, 0, 0)
	if got, e := later(root, 0, "", 0); e != 0 || got.UID != 0 {
		t.Errorf("root again: %v, %v", got, e)
	}
	if got, e := later(root, 1, "@0:4,27", 1); e != 0 || got.UID != 1 || got.GID != 1 || len(got.Groups) != 0 {
		t.Errorf("a user of root's mount: %v, %v", got, e)
	}
	if got, e := later(root, 7, "", vfs.OverflowID); e != syscall.EPERM {
		t.Errorf("as nobody: %v, %v", got, e)
	}

	other := dial() // what is proven on one connection is so on that alone
	if _, e := later(other, 0, "", 1234); e != syscall.EACCES {
		t.Errorf("on another connection: %v", e)
	}
	local := r.talk(r.dial()) // on a unix socket the kernel's word is there too
	local.exchange(version)
	prove(local, 1234, 5678)
	if got, e := later(local, 0, "", vfs.NoID); e != 0 || got.UID != 0 {
		t.Errorf("who does not say for whom: %v, %v", got, e)
	}
	if got, e := later(local, 1, "", 1234); e != 0 || got.UID != 1234 || got.GID != 5678 {
		t.Errorf("who says it: %v, %v", got, e)
	}
}

// A refused credential proves nothing, and what is proven counts only where
// credentials are asked for.
func TestNotProven(t *testing.T) {
	r, socket, who := mungeRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", r.serveOn(l))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	k := r.talk(conn)
	cred := mungetest.Credential(t, socket, 1234, 5678)
	k.exchange(`Tversion ~ msize=8192 version="9P2000.L"`, `Tauth.L 1 afid=9 uname="" aname="" nuname=7`, fmt.Sprintf("Twrite 2 fid=9 offset=0 data=%q", cred))
	for i, want := range []syscall.Errno{syscall.EPERM, syscall.EACCES} { // of another; replayed
		frame, err := encodeText(fmt.Sprintf(`Tattach.L 1 fid=%d afid=9 uname="" aname="" nuname=%d`, i, 7+i*1227))
		if err != nil {
			t.Fatal(err)
		}
		k.write(frame)
		if e := errnoIn(k.read()); e != want {
			t.Errorf("attach %d: %v", i, e)
		}
	}
	for _, uid := range []string{"7", "1234", "~"} {
		last := k.exchange(`Tattach.L 1 fid=3 afid=~ uname="" aname="" nuname=` + uid)
		if !strings.HasPrefix(last, fmt.Sprintf("[%d ", tLerror+1)) {
			t.Errorf("after a refused credential, as %s: %s", uid, last)
		}
	}
	if len(who) > 0 {
		t.Errorf("attached for %v", <-who)
	}
	proven := &vfs.Identity{UID: 7}
	if got, err := (Trust{}).Identify(Peer{Network: "tcp"}, Claim{NUname: 7, Proven: proven}); err == nil {
		t.Errorf("where nobody asks for credentials: %v", got)
	}
}
