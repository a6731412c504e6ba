package ninep

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
)

// A wideTree is a tree as deep as anybody walks, whose nodes are as heavy as those
// of the aggregate. In each directory are any name, a file "f" of size bytes and a
// directory "many" with entries names.
type wideTree struct{ size, entries int }

type wideNode struct {
	t    *wideTree
	path []string
	_    [200]byte // what those of the aggregate have beside
}

type wideDir struct{ wideNode }
type wideFile struct{ wideNode }

func (t *wideTree) Attach(context.Context, vfs.Identity, string) (vfs.Node, error) {
	return &wideDir{wideNode{t: t}}, nil
}

func (n *wideNode) ID() uint64 { return uint64(len(n.path)) + 1 }

func (n *wideNode) child(name string) wideNode {
	return wideNode{t: n.t, path: append(n.path[:len(n.path):len(n.path)], name)}
}

func (d *wideDir) Type() vfs.Type { return vfs.TypeDir }
func (d *wideDir) Attr(context.Context) (vfs.Attr, error) {
	return vfs.Attr{ID: d.ID(), Mode: uint32(vfs.TypeDir) | 0o555}, nil
}
func (d *wideDir) Walk(_ context.Context, name string) (vfs.Node, error) {
	if name == "f" {
		return &wideFile{d.child(name)}, nil
	}
	return &wideDir{d.child(name)}, nil
}
func (d *wideDir) List(context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(func(context.Context) ([]vfs.DirEntry, error) {
		all := make([]vfs.DirEntry, d.t.entries)
		for i := range all {
			all[i] = vfs.DirEntry{Name: fmt.Sprintf("entry %d", i), ID: uint64(i) + 1, Type: vfs.TypeFile, Next: uint64(i) + 1}
		}
		return all, nil
	}), nil
}
func (f *wideFile) Type() vfs.Type { return vfs.TypeFile }
func (f *wideFile) Attr(context.Context) (vfs.Attr, error) {
	return vfs.Attr{ID: f.ID(), Mode: uint32(vfs.TypeFile) | 0o444}, nil
}
func (f *wideFile) Open(context.Context) (vfs.Handle, error) {
	return vfs.NewBytes(make([]byte, f.t.size), 0), nil
}

// heap is what is in use after a collection, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// errnoIn is that of an answer, 0 if it is none.
func errnoIn(frame []byte) syscall.Errno {
	if frame[4] != tLerror+1 {
		return 0
	}
	return syscall.Errno(binary.LittleEndian.Uint32(frame[headerSize:]))
}

// attachAs attaches the fid 0 for a user.
func (k *talk) attachAs(uid uint32, msize uint32) *talk {
	k.t.Helper()
	b := appendVersion(nil, noTag, msize, "9P2000.L")
	b[4] = tVersion
	k.write(b)
	k.read()
	k.send(call{typ: tAttach, tag: 1, fid: 0, newfid: uid})
	k.expect(tAttach+1, 1)
	return k
}

// atRest waits until nothing is counted for a user.
func (r *rig) atRest(uid uint32) {
	r.t.Helper()
	of := r.payer(Peer{}, vfs.Identity{UID: uid})
	wait.Until(r.t, "all is given back", func() bool { return of.held.Load() == 0 && of.passing.Load() == 0 && of.requested.Load() == 0 })
	wait.Until(r.t, "all connections have ended", func() bool { return r.conns.Load() == 0 })
	of = r.payer(Peer{}, vfs.Root)
	if held, passing, asked := of.held.Load(), of.passing.Load(), of.requested.Load(); held != 0 || passing != 0 || asked != 0 {
		r.t.Errorf("%d, %d and %d bytes are counted for the peer", held, passing, asked)
	}
}

// TestFidsOfAnIdentity fills an account with fids over many connections, each time
// with the groups of another user: no more is held than may be, and all is given back.
func TestFidsOfAnIdentity(t *testing.T) {
	const limit, conns = 24 << 20, 8
	for name, path := range map[string][]string{
		"clones": nil, "deep": strings.Split(strings.Repeat("x ", 15)+"x", " "),
		"long": {strings.Repeat("y", 255), strings.Repeat("z", 255)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, &wideTree{}, func(cfg *ServerConfig) {
				cfg.Limits.IdentityBytes = limit
				group := uint32(0)
				cfg.Identify = func(_ Peer, c Claim) (vfs.Identity, error) {
					group++
					return vfs.Identity{UID: c.NUname, GID: group}, nil
				}
			})
			of := r.payer(Peer{}, vfs.Identity{UID: 1001})
			before := heap()
			var all []*talk
			made := 0
			for range conns {
				all = append(all, r.talk(r.dial()).attachAs(1001, 8192))
			}
			full := false
			for fid := uint32(1); !full; fid++ {
				for _, k := range all {
					k.send(walk(1, 0, fid, path...))
					switch e := errnoIn(k.read()); {
					case e == syscall.ENFILE:
						full = true
					case e != 0 || fid > 60000:
						t.Fatalf("fid %d: %v", fid, e)
					default:
						made++
					}
				}
			}
			grown := heap() - before
			t.Logf("%d fids, %d bytes counted, %d bytes in the heap", made, of.held.Load(), grown)
			if grown > limit+4<<20 {
				t.Errorf("%d bytes are held, and %d may be", grown, limit)
			}
			// Nothing else is lost, and others are not concerned.
			all[0].send(on(tGetattr, 2, 1))
			all[0].expect(tGetattr+1, 2)
			r.talk(r.dial()).attachAs(1002, 8192).conn.Close()
			for i := uint32(1); i < 4; i++ {
				all[0].send(on(tClunk, 3, i))
				all[0].expect(tClunk+1, 3)
			}
			all[1].send(walk(1, 0, 70000, path...))
			all[1].expect(tWalk+1, 1)
			for _, k := range all {
				k.conn.Close()
			}
			r.atRest(1001)
		})
	}
}

// TestListingsOfAnIdentity: a directory that is being read counts with its entries,
// and what there is no room for is not held.
func TestListingsOfAnIdentity(t *testing.T) {
	const limit = 16 << 20
	r := newRig(t, &wideTree{entries: 20000}, func(cfg *ServerConfig) { cfg.Limits.IdentityBytes = limit })
	k := r.talk(r.dial()).attachAs(1001, 8192)
	before := heap()
	refused := uint32(0)
	for fid := uint32(1); refused == 0; fid++ {
		k.send(walk(1, 0, fid, "many"), on(tLopen, 2, fid), on(tReaddir, 3, fid))
		k.expect(tWalk+1, 1)
		k.expect(tLopen+1, 2)
		switch e := errnoIn(k.read()); {
		case e == syscall.ENFILE:
			refused = fid
		case e != 0 || fid > 100:
			t.Fatalf("listing %d: %v", fid, e)
		}
	}
	grown := heap() - before
	t.Logf("%d listings, %d bytes in the heap", refused-1, grown)
	if refused < 3 || grown > limit+2<<20 {
		t.Errorf("%d listings, %d bytes are held, and %d may be", refused-1, grown, limit)
	}
	k.send(on(tClunk, 1, 1), on(tReaddir, 3, refused)) // the same fid, when there is room
	k.expect(tClunk+1, 1)
	k.expect(tReaddir+1, 3)
	k.conn.Close()
	r.atRest(1001)
}

// TestContentsOfAnIdentity: contents count with all else, over all connections.
func TestContentsOfAnIdentity(t *testing.T) {
	r := newRig(t, &wideTree{size: 1 << 20}, func(cfg *ServerConfig) {
		cfg.Limits.IdentityBytes, cfg.Limits.OpenBytes = 8<<20, 6<<20
	})
	open := func(k *talk, fid uint32) syscall.Errno {
		k.send(walk(1, 0, fid, "f"), on(tLopen, 2, fid))
		k.expect(tWalk+1, 1)
		return errnoIn(k.read())
	}
	a, b := r.talk(r.dial()).attachAs(1001, 8192), r.talk(r.dial()).attachAs(1001, 8192)
	for i := range uint32(7) {
		if e := open(a, i+1); e != 0 && (i < 6 || e != syscall.EMFILE) {
			t.Errorf("open %d: %v", i, e)
		}
	}
	if e := open(b, 1); e != 0 {
		t.Error(e)
	}
	if e := open(b, 2); e != syscall.ENFILE {
		t.Errorf("more than the identity may have: %v", e)
	}
	a.send(on(tClunk, 1, 1), on(tRead, 2, 2))
	a.expect(tClunk+1, 1)
	a.expect(tRead+1, 2)
	b.send(on(tLopen, 2, 2))
	b.expect(tLopen+1, 2)
	a.conn.Close()
	b.conn.Close()
	r.atRest(1001)
}

// TestUnreadAnswersOfAnIdentity: a requester of much on many connections who reads none
// of it holds no more than may pass.
func TestUnreadAnswersOfAnIdentity(t *testing.T) {
	const limit, conns, bufferBytes = 16 << 20, 60, 256 << 10
	for name, count := range map[string]uint32{"long": MaxMsize, "short": 30000} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, &wideTree{size: 1 << 20}, func(cfg *ServerConfig) {
				cfg.Identify, cfg.Limits.IdentityPassing = ByCredentials, limit
			})
			before := heap()
			var all []*talk
			for range conns {
				k := r.talk(r.dial()).attachAs(0, MaxMsize)
				k.send(walk(1, 0, 1, "f"), on(tLopen, 2, 1))
				k.expect(tWalk+1, 1)
				k.expect(tLopen+1, 2)
				all = append(all, k)
			}
			for _, k := range all {
				var b []byte
				for i := range uint16(200) {
					b = appendCall(b, &call{typ: tRead, tag: 10 + i, fid: 1, count: count})
				}
				k.write(b)
			}
			of := r.payer(Peer{}, vfs.Root)
			last := int64(-1)
			for end := time.Now().Add(patience); time.Now().Before(end) && of.passing.Load() != last; time.Sleep(100 * time.Millisecond) {
				last = of.passing.Load() // until it does not move any more
			}
			content := int64(conns) << 20 // what the files pin
			// Beside that a connection has a buffer of what it is being sent, and one of
			// what it has asked. What is still under way on a busy machine is not held.
			const may = limit + conns*(bufferBytes+64<<10+32<<10) + 4<<20
			grown := heap() - before - content
			for end := time.Now().Add(patience); grown > may && time.Now().Before(end); grown = heap() - before - content {
				time.Sleep(100 * time.Millisecond)
			}
			t.Logf("%d bytes counted, %d in the heap", of.passing.Load(), grown)
			if grown > may {
				t.Errorf("%d bytes are held, and %d may be", grown, may)
			}
			if last < limit-MaxMsize {
				t.Errorf("only %d bytes wait", last)
			}
			k := r.talk(r.dial()).attachAs(0, MaxMsize)
			k.send(walk(1, 0, 1, "f"), on(tGetattr, 2, 1))
			k.expect(tWalk+1, 1)
			k.expect(tGetattr+1, 2)
			k.conn.Close()
			// Whoever reads gets all that was asked for, or is told of it.
			for _, k := range all[:3] {
				for range 200 {
					if e := errnoIn(k.read()); e != 0 && e != syscall.ENFILE {
						t.Fatal(e)
					}
				}
			}
			for _, k := range all {
				k.conn.Close()
			}
			r.atRest(0)
		})
	}
}

// TestHalfFrames: who sends long frames and does not end them holds no more than may
// pass either.
func TestHalfFrames(t *testing.T) {
	const limit, conns = 8 << 20, 40
	r := newRig(t, &wideTree{}, func(cfg *ServerConfig) {
		cfg.Identify, cfg.Limits.IdentityPassing = ByCredentials, limit
	})
	half := binary.LittleEndian.AppendUint32(nil, MaxMsize)
	half = append(half, tWrite, 5, 0)
	half = append(half, make([]byte, MaxMsize-100)...)
	before := heap()
	var all []*talk
	for range conns {
		k := r.talk(r.dial()).attachAs(0, MaxMsize)
		k.conn.Write(half) // an error is that it has been closed
		all = append(all, k)
	}
	wait.Until(t, "some are closed", func() bool { return r.conns.Load() < conns/2 })
	grown := heap() - before
	t.Logf("%d connections, %d bytes in the heap", r.conns.Load(), grown)
	if grown > limit+4<<20 {
		t.Errorf("%d bytes are held, and %d may be", grown, limit)
	}
	for _, k := range all {
		k.conn.Close()
	}
	r.atRest(0)
}

// TestManyFlushes: no more Tflush wait than there are tags.
func TestManyFlushes(t *testing.T) {
	tree, free := vfstest.NewTree(), make(chan struct{})
	tree.Put("deaf", vfstest.File{Read: func(context.Context, vfs.Identity) ([]byte, error) {
		<-free
		return nil, nil
	}})
	r := newRig(t, tree, nil)
	defer close(free)
	k := r.talk(r.dial()).hello(8192)
	k.send(walk(1, 0, 1, "deaf"), on(tLopen, 2, 1))
	k.expect(tWalk+1, 1)
	var b []byte
	for i := range maxTags + 10 {
		f := flush(uint16(10+i%1000), 2)
		b = appendCall(b, &f)
	}
	k.conn.Write(b) // an error is that it has been closed
	k.ended()
}

// TestPayers: whose account it is.
func TestPayers(t *testing.T) {
	s := NewServer(ServerConfig{Trusted: Trust{FrontEnds: []string{"head"}}.Trusted, Payer: func(uid uint32) (uint32, bool) {
		switch {
		case uid >= 100000 && uid < 165536:
			return 1001, true
		case uid < 2000:
			return uid, true
		}
		return uid, false
	}})
	root, head, other := Peer{HasCred: true}, Peer{Network: "tls", Cert: "head"}, Peer{Network: "tls", Cert: "other"}
	for i, tt := range []struct {
		peer Peer
		who  vfs.Identity
		want string
	}{
		{root, vfs.Root, "uid 0"},
		{root, vfs.Identity{UID: 1001}, "uid 1001"},
		{root, vfs.Identity{UID: 1001, GID: 7, Groups: []uint32{8, 9}}, "uid 1001"},
		{root, vfs.Identity{UID: 100000}, "uid 1001"},
		{root, vfs.Identity{UID: 165535, GID: 165535}, "uid 1001"},
		{root, vfs.Identity{UID: 165536}, nameless},
		{root, vfs.Identity{UID: 3_000_000}, nameless},
		{other, vfs.Identity{UID: 3_000_000, Cert: "other"}, nameless},
		{head, vfs.Identity{UID: 3_000_000}, "uid 3000000"},
		{head, vfs.Identity{UID: 100001}, "uid 1001"},
		{other, vfs.Identity{UID: vfs.OverflowID, Cert: "other"}, `the certificate "other"`},
		{root, vfs.Identity{UID: vfs.OverflowID}, "nobody"},
	} {
		if got := s.payer(tt.peer, tt.who); got.name != tt.want {
			t.Errorf("%d: %q, not %q", i, got.name, tt.want)
		}
	}
}

// TestStrangerFids: before anybody has attached a connection holds next to nothing.
func TestStrangerFids(t *testing.T) {
	r := newRig(t, &wideTree{}, func(cfg *ServerConfig) { cfg.Auth = true })
	k := r.talk(r.dial())
	k.exchange(`Tversion ~ msize=8192 version="9P2000.L"`)
	made := 0
	for i := range 100 {
		frame, err := encodeText(fmt.Sprintf(`Tauth.L 1 afid=%d uname="" aname="" nuname=7`, i))
		if err != nil {
			t.Fatal(err)
		}
		k.write(frame)
		if e := errnoIn(k.read()); e == 0 {
			made++
		} else if e != syscall.EMFILE {
			t.Fatal(e)
		}
	}
	if made != strangerFids {
		t.Errorf("%d fids", made)
	}
	if held := r.payer(Peer{}, vfs.Root).held.Load(); held < strangerFids*maxCredential {
		t.Errorf("%d bytes are counted", held)
	}
	k.conn.Close()
	r.atRest(0)
}
