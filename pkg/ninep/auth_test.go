package ninep

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/internal/munge"
	"github.com/aggrfs/aggrfs/internal/munge/mungetest"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// whoTree notes for whom it is attached.
type whoTree struct {
	*vfstest.Tree
	who chan vfs.Identity
}

func (w whoTree) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	w.who <- who
	return w.Tree.Attach(ctx, who, aname)
}

// mungeRig asks for credentials of a munged.
func mungeRig(t *testing.T) (r *rig, socket string, who chan vfs.Identity) {
	socket = mungetest.Start(t)
	who = make(chan vfs.Identity, 10)
	r = newRig(t, whoTree{vfstest.NewTree(), who}, func(cfg *ServerConfig) {
		cfg.Identify = Trust{Munge: munge.Decoder{Socket: socket}.Decode}.Identify
		cfg.Auth = true
	})
	return r, socket, who
}

// exchange sends messages, one by one, and returns the last answer's text.
func (k *talk) exchange(messages ...string) (last string) {
	k.t.Helper()
	for _, m := range messages {
		frame, err := encodeText(m)
		if err != nil {
			k.t.Fatal(err)
		}
		k.write(frame)
		last = fmt.Sprint(k.read()[4:])
	}
	return last
}

// An attach by a credential is its user's, in both dialects; the same credential
// again is refused.
func TestMunge(t *testing.T) {
	r, socket, who := mungeRig(t)
	for _, d := range []struct{ version, auth, attach string }{
		{"9P2000.L", `Tauth.L 1 afid=9 uname="" aname="" nuname=%d`, `Tattach.L 1 fid=%d afid=9 uname="" aname="" nuname=%d`},
		{"9P2000", `Tauth 1 afid=9 uname="" aname=""`, `Tattach 1 fid=%d afid=9 uname="" aname=""`},
	} {
		attach := func(k *talk, fid, uid int) byte {
			m := fmt.Sprintf(d.attach, fid, uid)
			if d.version == "9P2000" {
				m = fmt.Sprintf(d.attach, fid)
			}
			frame, err := encodeText(m)
			if err != nil {
				t.Fatal(err)
			}
			k.write(frame)
			return k.read()[4]
		}
		auth := d.auth
		if strings.Contains(auth, "%d") {
			auth = fmt.Sprintf(auth, 1234)
		}
		cred := mungetest.Credential(t, socket, 1234, 5678)
		k := r.talk(r.dial())
		k.exchange(`Tversion ~ msize=8192 version="`+d.version+`"`, auth)
		// In two parts, as a client may.
		k.exchange(fmt.Sprintf("Twrite 2 fid=9 offset=0 data=%q", cred[:50]), fmt.Sprintf("Twrite 2 fid=9 offset=50 data=%q", cred[50:]))
		if typ := attach(k, 0, 1234); typ != tAttach+1 {
			t.Fatalf("%s: attach answered by %d; %v", d.version, typ, r.lines())
		}
		if got := <-who; got.UID != 1234 || got.GID != 5678 || len(got.Groups) != 0 {
			t.Errorf("%s: attached for %v", d.version, got)
		}
		if typ := attach(k, 1, 1234); typ == tAttach+1 {
			t.Errorf("%s: a replayed credential is taken", d.version)
		}
		again := r.talk(r.dial())
		again.exchange(`Tversion ~ msize=8192 version="`+d.version+`"`, auth, fmt.Sprintf("Twrite 2 fid=9 offset=0 data=%q", cred))
		if typ := attach(again, 0, 1234); typ == tAttach+1 {
			t.Errorf("%s: a credential replayed on another connection is taken", d.version)
		}
	}
	if log := strings.Join(r.lines(), "\n"); !strings.Contains(log, "Replayed") {
		t.Errorf("the log does not tell of the replay:\n%s", log)
	}
}

// What is no credential of whom it claims lets nobody in.
func TestMungeRefused(t *testing.T) {
	r, socket, who := mungeRig(t)
	cred := func() string { return string(mungetest.Credential(t, socket, 1234, 5678)) }
	write := func(text string) []string { return []string{fmt.Sprintf("Twrite 2 fid=9 offset=0 data=%q", text)} }
	const auth = `Tauth.L 1 afid=9 uname="" aname="" nuname=~`
	for what, messages := range map[string][]string{
		"nothing written": {auth, `Tattach.L 1 fid=0 afid=9 uname="" aname="" nuname=1234`},
		"text":            append(append([]string{auth}, write("root")...), `Tattach.L 1 fid=0 afid=9 uname="" aname="" nuname=0`),
		"another user":    append(append([]string{auth}, write(cred())...), `Tattach.L 1 fid=0 afid=9 uname="" aname="" nuname=0`),
		"no such fid":     {auth, `Tattach.L 1 fid=0 afid=8 uname="" aname="" nuname=~`},
		"clunked":         append(append([]string{auth}, write(cred())...), "Tclunk 1 fid=9", `Tattach.L 1 fid=0 afid=9 uname="" aname="" nuname=~`),
		"a fid of a file": {`Tattach.L 1 fid=9 afid=~ uname="" aname="" nuname=~`, `Tattach.L 1 fid=0 afid=9 uname="" aname="" nuname=~`},
		"a walk from it":  {auth, `Twalk 1 fid=9 newfid=3 names=["x"]`},
		"opened":          {auth, `Tlopen 1 fid=9 flags=00`},
		"with a gap":      {auth, `Twrite 2 fid=9 offset=5 data="x"`},
		"the fid in use":  {auth, auth},
		"no fid":          {`Tauth.L 1 afid=~ uname="" aname="" nuname=~`},
	} {
		k := r.talk(r.dial())
		k.exchange(`Tversion ~ msize=8192 version="9P2000.L"`)
		last := k.exchange(messages...)
		if !strings.HasPrefix(last, fmt.Sprintf("[%d ", tLerror+1)) {
			t.Errorf("%s: answered %s", what, last)
		}
	}
	for len(who) > 0 {
		if got := <-who; got.UID != 0 { // the test's own, by its socket
			t.Errorf("attached for %v", got)
		}
	}
}

// Over plain TCP nobody is believed without one.
func TestMungeOverTCP(t *testing.T) {
	trust := Trust{Insecure: true, Munge: func(context.Context, []byte) (uint32, uint32, error) { return 7, 8, nil }}
	tcp := Peer{Network: "tcp", Addr: "192.0.2.1:1"}
	if who, err := trust.Identify(tcp, Claim{NUname: 7}); vfs.Errno(err) == 0 {
		t.Errorf("without a credential: %v", who)
	}
	if who, err := trust.Identify(tcp, Claim{NUname: vfs.NoID, Credential: []byte("x")}); err != nil || who.UID != 7 || who.GID != 8 {
		t.Errorf("with one: %v, %v", who, err)
	}
	if who, err := (Trust{Insecure: true}).Identify(tcp, Claim{NUname: 7, Credential: []byte("x")}); err == nil {
		t.Errorf("one that nobody asked for: %v", who)
	}
}
