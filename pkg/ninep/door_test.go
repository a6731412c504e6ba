package ninep

import (
	"context"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
	"golang.org/x/sys/unix"
)

// dialAs connects to a socket of anyUser as a user: the kernel takes the ids of the thread that connects.
func (r *rig) dialAs(name string, uid int) (net.Conn, error) {
	var conn net.Conn
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread ends with this goroutine
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); e != 0 {
			err = e
			return
		}
		conn, err = net.Dial("unix", name)
	}()
	<-done
	if err == nil {
		r.t.Cleanup(func() { conn.Close() })
	}
	return conn, err
}

// TestPlacesOfUsers: four users have all the connections that they may, and do nothing
// with them. Root gets in at once, and so does a fifth user.
func TestPlacesOfUsers(t *testing.T) {
	r := newRig(t, vfstest.NewTree(), func(cfg *ServerConfig) {
		cfg.Identify = ByCredentials
		cfg.Limits.Connections = 160 // 20 in reserve, 20 a user
		cfg.Payer = func(uid uint32) (uint32, bool) {
			if uid >= 100000 { // subordinate to the first of them
				return 3001, true
			}
			return uid, uid < 4000
		}
	})
	socket := r.anyUser()
	inside := func(uid int) int {
		n := 0
		for range 50 {
			conn, err := r.dialAs(socket, uid)
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(patience))
			b := appendVersion(nil, noTag, 8192, "9P2000.L")
			b[4] = tVersion
			conn.Write(b)
			if k, err := conn.Read(make([]byte, 100)); err == nil && k > 0 {
				n++
			}
		}
		return n
	}
	for uid := 3001; uid <= 3004; uid++ {
		if n := inside(uid); n != 20 {
			t.Errorf("the user %d has %d connections", uid, n)
		}
	}
	if n := inside(100007); n != 0 {
		t.Errorf("as a subordinate a user has %d more", n)
	}
	if n := inside(5000) + inside(5001); n != 20 {
		t.Errorf("two users without a name have %d connections", n)
	}
	for uid := 3005; uid <= 3009; uid++ { // until all that there are for others are taken
		inside(uid)
	}
	if n := inside(3010); n != 0 {
		t.Errorf("%d connections where there are no more", n)
	}
	start := time.Now()
	k := r.talk(r.dial()).hello(8192)
	if took := time.Since(start); took > time.Second {
		t.Errorf("root waits for %v", took)
	}
	k.conn.Close()
	if log := strings.Join(r.lines(), "\n"); !strings.Contains(log, "uid 3001") || !strings.Contains(log, nameless) || !strings.Contains(log, "are kept for root") {
		t.Errorf("logged: %s", log)
	}
}

// TestHalfHandshakes: machines of six networks begin handshakes, do not go on, and do
// so again when they are put out. Who makes one to its end gets in at once.
func TestHalfHandshakes(t *testing.T) {
	r := newRig(t, vfstest.NewTree(), func(cfg *ServerConfig) { cfg.Limits.Handshakes = 60 })
	p := newPKI(t)
	addr := r.serveTLS(p.open("n1"))
	front := p.open("head")
	stop, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	const nets = 6
	for net1 := range nets {
		go func() {
			defer func() { ended <- struct{}{} }()
			var open []net.Conn
			for i := 0; stop.Err() == nil; i++ {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(net1+1), byte(i%250+1))}}
				conn, err := d.DialContext(stop, "tcp", addr.Address)
				if err != nil {
					time.Sleep(time.Millisecond)
					continue
				}
				conn.Write([]byte{22, 3, 1, 2, 0, 1})
				open = append(open, conn)
				if len(open) > 200 {
					open[0].Close()
					open = open[1:]
				}
			}
			for _, conn := range open {
				conn.Close()
			}
		}()
	}
	wait.Until(t, "there are enough", func() bool { return r.conns.Load() >= 60 })
	for range 5 {
		rootOf(t, r.client(front.dial(r, addr, "n1"), ClientConfig{}))
	}
	wait.Until(t, "those that were put out are gone", func() bool { return r.conns.Load() <= 2*60 })
	cancel()
	for range nets {
		<-ended
	}
	if log := strings.Join(r.lines(), "\n"); !strings.Contains(log, errPutOut.Error()) {
		t.Errorf("logged: %s", log)
	}
}

// TestDoor: who is put out.
func TestDoor(t *testing.T) {
	limits := Limits{Handshakes: 8}.withDefaults()
	for name, tt := range map[string]struct {
		come []string
		out  int // the index of who is put out by the last
	}{
		"the oldest":          {[]string{"10.0.0.1", "10.1.0.1", "10.2.0.1", "10.3.0.1", "10.4.0.1", "10.5.0.1", "10.6.0.1", "10.7.0.1", "10.8.0.1"}, 0},
		"of the same /24":     {[]string{"192.0.2.1", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.4", "10.0.1.5", "10.0.0.6", "10.0.2.1", "192.0.2.1"}, 1},
		"of the same /64":     {[]string{"fd00:1::1", "2001:db8::1", "2001:db8::2", "2001:db8::3", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.1", "2001:db8::ffff:1"}, 1},
		"of many /64":         {[]string{"fd00:1::1", "2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1", "2001:db8:0:4::1", "2001:db8:0:5::1", "10.0.0.2", "10.0.0.3", "10.0.1.1"}, 1},
		"who comes by IPv4":   {[]string{"fd00:1::1", "::ffff:10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8:0:4::1", "2001:db8:0:5::1", "2001:db8:0:6::1", "10.0.1.2", "10.0.0.4"}, 1},
		"and not a neighbour": {[]string{"10.0.9.1", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.8"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := door{limits: &limits}
			var all []*arrival
			for _, ip := range tt.come {
				near, far := net.Pipe()
				defer near.Close()
				all = append(all, d.arrive(far, Peer{Network: "tls", Addr: net.JoinHostPort(ip, "1234")}))
			}
			for i, a := range all {
				if a.out.Load() != (i == tt.out) {
					t.Errorf("%s is put out: %v", tt.come[i], a.out.Load())
				}
				if err := d.admit(a, &account{limits: &limits}, false); (err != nil) != (i == tt.out) {
					t.Errorf("%s: %v", tt.come[i], err)
				}
			}
			for _, a := range all {
				d.leave(a)
				d.leave(&arrival{})
			}
			if d.inside != 0 || len(d.arriving) != 0 {
				t.Errorf("%d are inside, %d arriving", d.inside, len(d.arriving))
			}
		})
	}
}

// TestStrangersOverTCP: over plain TCP nobody is known before an attach, and so one
// who does not attach keeps nobody out.
func TestStrangersOverTCP(t *testing.T) {
	r := newRig(t, vfstest.NewTree(), func(cfg *ServerConfig) {
		cfg.Limits.Handshakes, cfg.Limits.Connections, cfg.Limits.PeerConnections = 4, 20, 3
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := r.serveOn(l)
	dial := func() *talk {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return r.talk(conn)
	}
	var quiet []*talk
	for range 10 {
		k := dial()
		k.exchange(`Tversion ~ msize=8192 version="9P2000.L"`)
		quiet = append(quiet, k)
	}
	for _, k := range quiet[:6] {
		k.ended()
	}
	for range 3 {
		dial().hello(8192)
	}
	k := dial()
	b := appendVersion(nil, noTag, 8192, "9P2000.L")
	b[4] = tVersion
	k.write(b)
	k.read()
	k.write(appendCall(nil, &call{typ: tAttach, tag: 1, fid: 0}))
	k.ended()
	wait.Until(t, "the network is named in the log", func() bool { return strings.Contains(strings.Join(r.lines(), "\n"), "127.0.0.0/24") })
}

// TestLimitsOfDescriptors: all connections fit the descriptors that there are.
func TestLimitsOfDescriptors(t *testing.T) {
	for _, n := range []int{1, 32, 100, 1000, 5000, 1 << 20} {
		l := Limits{Descriptors: n}.withDefaults()
		if l.Connections+l.Handshakes > max(n, minDescriptors) || l.Connections < minDescriptors/2 || l.Handshakes < 1 || l.Reserve < 1 || l.PeerConnections*4 > l.Connections {
			t.Errorf("%d: %+v", n, l)
		}
	}
}

// vacantTree is a tree that some have nothing in, while vacant says so.
type vacantTree struct {
	*vfstest.Tree
	vacant func(uid uint32) bool
}

type vacantRoot struct {
	vfs.Dir
	vacant func() bool
}

func (r vacantRoot) Vacant() bool { return r.vacant() }

func (t vacantTree) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	n, err := t.Tree.Attach(ctx, who, aname)
	if err != nil {
		return nil, err
	}
	return vacantRoot{n.(vfs.Dir), func() bool { return t.vacant(who.UID) }}, nil
}

// TestVacant: a client with nothing to see may read why, and is closed after a
// rest; one that sends requests now and then is not, nor one that has something, or has had, or will have by then.
func TestVacant(t *testing.T) {
	start := make(chan struct{})
	tree := vfstest.NewTree()
	tree.Put("cluster/whoami", vfstest.File{Data: []byte("you")})
	r := newRig(t, vacantTree{tree, func(uid uint32) bool {
		select {
		case <-start:
			return uid == 1 || uid == 3
		default:
			return uid < 3
		}
	}}, func(cfg *ServerConfig) { cfg.Limits.Vacant = 400 * time.Millisecond })
	none, never := r.talk(r.dial()).attachAs(1, 8192), r.talk(r.dial())
	soon, had, busy := r.talk(r.dial()).attachAs(2, 8192), r.talk(r.dial()).attachAs(3, 8192), r.talk(r.dial()).attachAs(1, 8192)
	close(start)
	never.exchange(`Tversion ~ msize=8192 version="9P2000.L"`)
	none.send(walk(1, 0, 1, "cluster", "whoami"), on(tLopen, 2, 1), on(tRead, 3, 1))
	none.expect(tWalk+1, 1)
	none.expect(tLopen+1, 2)
	if got := content(none.expect(tRead+1, 3)); got != "you" {
		t.Errorf("whoami says %q", got)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		none.ended()
		never.ended()
	}()
	for asking := true; asking; time.Sleep(50 * time.Millisecond) {
		select {
		case <-ended:
			asking = false
		default:
		}
		busy.send(on(tGetattr, 1, 0))
		busy.expect(tGetattr+1, 1)
	}
	for _, k := range []*talk{soon, had} {
		k.send(on(tGetattr, 1, 0))
		k.expect(tGetattr+1, 1)
	}
	busy.ended()
	wait.Until(t, "two connections are left", func() bool { return r.conns.Load() == 2 })
	if lines := r.lines(); len(lines) > 0 {
		t.Errorf("logged: %q", lines)
	}
}
