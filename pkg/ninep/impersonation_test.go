package ninep

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// attacherVariable makes this test program a client that attaches by hand, as
// whatever user it was started: its value is an address of a unix socket.
const attacherVariable = "NINEP_TEST_ATTACHER"

// A claim is one Tattach by hand and what came of it.
type claim struct {
	Uname  string
	NUname uint32
	Errno  syscall.Errno
}

// attacher reads claims from standard input, makes them one after the other on
// one connection, and writes what came of each.
func attacher(addr string) int {
	var claims []claim
	conn, err := net.Dial("unix", addr)
	if err == nil {
		err = json.NewDecoder(os.Stdin).Decode(&claims)
	}
	if err == nil {
		err = tryAll(conn, claims)
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(claims)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func tryAll(conn net.Conn, claims []claim) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := NewClient(ctx, conn, ClientConfig{})
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range claims {
		_, err := c.attach(ctx, call{typ: tAttach, uname: claims[i].Uname, newfid: claims[i].NUname})
		claims[i].Errno = vfs.Errno(err)
	}
	return nil
}

// A seen tree remembers whom it was attached for.
type seen struct {
	vfs.Tree
	mu  sync.Mutex
	who []vfs.Identity
}

func (s *seen) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	s.mu.Lock()
	s.who = append(s.who, who)
	s.mu.Unlock()
	return s.Tree.Attach(ctx, who, aname)
}

// take is who attached since the last time.
func (s *seen) take() []vfs.Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	who := s.who
	s.who = nil
	return who
}

func newSeen() *seen { return &seen{Tree: vfstest.NewTree()} }

// expect wants exactly these to have attached.
func (s *seen) expect(t *testing.T, want ...vfs.Identity) {
	t.Helper()
	if got := s.take(); !slices.EqualFunc(got, want, vfs.Identity.Equal) {
		t.Errorf("attached as %+v; want %+v", got, want)
	}
}

// anyUser serves on a socket that every user can reach, wherever the tests' own
// directory is.
func (r *rig) anyUser() string {
	r.t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix"}) // a name the kernel chooses
	if err != nil {
		r.t.Fatal(err)
	}
	return r.serveOn(l)
}

// attachAs makes claims as another user, in a process of that user's.
func (r *rig) attachAs(cred *syscall.Credential, claims ...claim) []claim {
	r.t.Helper()
	cmd := exec.CommandContext(within(r.t), "/proc/self/exe")
	cmd.Env = []string{attacherVariable + "=" + r.anyUser()}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	cmd.Dir = "/"
	in, err := json.Marshal(claims)
	if err != nil {
		r.t.Fatal(err)
	}
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(in)), os.Stderr
	out, err := cmd.Output()
	if err == nil {
		claims = nil
		err = json.Unmarshal(out, &claims)
	}
	if err != nil {
		r.t.Fatalf("%v: %s", err, out)
	}
	return claims
}

func byTrust(trust Trust) func(*ServerConfig) {
	return func(cfg *ServerConfig) { cfg.Identify = trust.Identify }
}

// TestAnotherUser is a user who claims to be others: the kernel's word counts,
// the claim does not, and a forged uname has no effect.
func TestAnotherUser(t *testing.T) {
	tree := newSeen()
	r := newRig(t, tree, byTrust(Trust{Insecure: true, FrontEnds: []string{"head"}, Strangers: true}))
	got := r.attachAs(&syscall.Credential{Uid: 1001, Gid: 2001, Groups: []uint32{2002, 2003}},
		claim{"root", 0, 0}, claim{"@0:", 0, 0}, claim{"", 1002, 0}, claim{"@1002:", 1002, 0},
		claim{"", vfs.OverflowID, 0}, claim{"@0:0", vfs.OverflowID, 0},
		claim{"root", vfs.NoID, 0}, claim{"@0:4,27", vfs.NoID, 0}, claim{"@0:4,27", 1001, 0}, claim{"@mess", 1001, 0}, claim{"", 1001, 0})
	for i, c := range got {
		if want := map[bool]syscall.Errno{true: syscall.EPERM}[i < 6]; c.Errno != want {
			t.Errorf("uname %q, n_uname %d: %v, want %v", c.Uname, c.NUname, c.Errno, want)
		}
	}
	own := vfs.Identity{UID: 1001, GID: 2001, Groups: []uint32{2002, 2003}}
	tree.expect(t, own, own, own, own, own)
}

// TestSpokenFor is root, as the kernel's client and as ours: both speak for
// users.
func TestSpokenFor(t *testing.T) {
	tree := newSeen()
	r := newRig(t, tree, byTrust(Trust{}))
	// v9fs with access=user: the mount's own attach, then one for each user.
	got := r.attachAs(&syscall.Credential{Groups: []uint32{4}},
		claim{"root", vfs.NoID, 0}, claim{"nobody", vfs.NoID, 0}, claim{"", 0, 0}, claim{"", 1, 0}, claim{"root", 1, 0}, claim{"", 3_999_999, 0},
		claim{"@100:7,8", 1001, 0}, claim{"@0:", 0, 0},
		claim{"", vfs.OverflowID, 0}, claim{"@100:7,8", vfs.OverflowID, 0}, claim{"@100:8,7", 1001, 0})
	for i, c := range got {
		want := []syscall.Errno{8: syscall.EPERM, 9: syscall.EPERM, 10: syscall.EINVAL}[i]
		if c.Errno != want {
			t.Errorf("uname %q, n_uname %d: %v, want %v", c.Uname, c.NUname, c.Errno, want)
		}
	}
	self, daemon := vfs.Identity{Groups: []uint32{4}}, vfs.Identity{UID: 1, GID: 1}
	tree.expect(t, self, self, self, daemon, daemon, vfs.Identity{UID: 3_999_999, GID: vfs.OverflowID},
		vfs.Identity{UID: 1001, GID: 100, Groups: []uint32{7, 8}}, vfs.Root)

	c := r.client(r.dial(), ClientConfig{})
	for _, who := range []vfs.Identity{
		vfs.Root, {UID: 1001, GID: 100}, {UID: 1001, GID: 100, Groups: []uint32{0, 7, 4242}}, {UID: 1, GID: 0},
		{UID: 7, GID: 1, Groups: manyGroups(10, 12000)}, {UID: 7, GID: vfs.OverflowID},
		{UID: 8, GID: 1, Groups: []uint32{2}, Cert: "x"},
	} {
		if _, err := c.Attach(within(t), who, ""); err != nil {
			t.Errorf("uid %d with %d groups: %v", who.UID, len(who.Groups), err)
		}
		who.Cert = "" // says nothing on another machine
		tree.expect(t, who)
	}
	for want, who := range map[syscall.Errno]vfs.Identity{
		syscall.E2BIG:  {UID: 1001, Groups: manyGroups(math.MaxUint32-maxGroups-1, maxGroups)},
		syscall.EPERM:  {UID: vfs.OverflowID, GID: vfs.OverflowID, Cert: "x"},
		syscall.EACCES: {UID: vfs.NoID},
		syscall.EINVAL: {UID: 1, GID: vfs.NoID},
	} {
		if _, err := c.Attach(within(t), who, ""); vfs.Errno(err) != want {
			t.Errorf("uid %d with %d groups: %v, want %v", who.UID, len(who.Groups), err, want)
		}
	}
	small := r.client(r.dial(), ClientConfig{Msize: MinMsize})
	if _, err := small.Attach(within(t), vfs.Identity{UID: 7, Groups: manyGroups(10, 200)}, ""); vfs.Errno(err) != syscall.E2BIG {
		t.Errorf("more groups than a small frame holds: %v", err)
	}
	if _, err := small.Attach(within(t), vfs.Identity{UID: 7, Groups: manyGroups(10, 100)}, ""); err != nil {
		t.Errorf("groups in a small frame: %v", err)
	}
	tree.expect(t, vfs.Identity{UID: 7, Groups: manyGroups(10, 100)})
	own := r.client(r.dial(), ClientConfig{Own: true})
	if _, err := own.Attach(within(t), vfs.Identity{UID: 7}, ""); err != nil {
		t.Error(err)
	}
	if who := tree.take(); len(who) != 1 || !who[0].IsRoot() {
		t.Errorf("who leaves it to the server is %+v", who)
	}
}
