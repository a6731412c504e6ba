package ninep

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
)

// TestPipeline sends walk, open, read and clunk at once, again and again on the
// same fid.
func TestPipeline(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("7/stat", vfstest.File{Read: vfstest.Counter("%d")})
	k := newRig(t, tree, nil)
	c := k.talk(k.dial()).hello(MaxMsize)
	for i := 1; i <= 200; i++ {
		c.send(walk(1, 0, 5, "7"), walk(2, 5, 5, "stat"), on(tLopen, 3, 5), on(tRead, 4, 5), on(tClunk, 5, 5))
		c.expect(tWalk+1, 1)
		c.expect(tWalk+1, 2)
		c.expect(tLopen+1, 3)
		if got := content(c.expect(tRead+1, 4)); got != fmt.Sprint(i) {
			t.Fatalf("read %q, want %d", got, i)
		}
		c.expect(tClunk+1, 5)
	}
	// What fails on the way takes the rest with it, one answer each.
	c.send(walk(1, 0, 6, "8"), on(tLopen, 2, 6), on(tRead, 3, 6), on(tClunk, 4, 6))
	c.refused(1, syscall.ENOENT)
	for tag := range 3 {
		c.refused(uint16(tag+2), syscall.EBADF)
	}
	c.send(walk(1, 0, 5, "7"), walk(2, 5, 5, "none"), on(tLopen, 3, 5), on(tRead, 4, 5), on(tClunk, 5, 5))
	c.expect(tWalk+1, 1)
	c.refused(2, syscall.ENOENT)
	c.expect(tLopen+1, 3) // it is the directory that the first walk went to
	c.refused(4, syscall.EISDIR)
	c.expect(tClunk+1, 5)
}

// TestPipelineHelloToo sends everything from the attach on at once: walks wait
// for the fid that they begin at.
func TestPipelineHelloToo(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("f", vfstest.File{Data: []byte("x")})
	tree.Before(func(_ context.Context, op vfstest.Op, _ string) error {
		if op == vfstest.OpAttach {
			time.Sleep(20 * time.Millisecond)
		}
		return nil
	})
	r := newRig(t, tree, nil)
	c := r.talk(r.dial())
	b := appendVersion(nil, noTag, 8192, "9P2000.L")
	b[4] = tVersion
	for i, k := range []call{{typ: tAttach, fid: 0}, walk(0, 0, 1, "f"), walk(0, 0, 2), on(tClunk, 0, 0), on(tLopen, 0, 1), on(tRead, 0, 1)} {
		k.tag = uint16(i + 1)
		b = appendCall(b, &k)
	}
	c.write(b)
	got := map[uint16]uint8{}
	for range 7 {
		f := c.read()
		got[binary.LittleEndian.Uint16(f[5:])] = f[4]
	}
	want := map[uint16]uint8{noTag: tVersion + 1, 1: tAttach + 1, 2: tWalk + 1, 3: tWalk + 1, 4: tClunk + 1, 5: tLopen + 1, 6: tRead + 1}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("answers %v, want %v", got, want)
	}
}

// TestOthersGoOn shows that a fid whose request is stuck holds up no other, nor
// walks from the same root.
func TestOthersGoOn(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("stuck", vfstest.File{Read: vfstest.BlockedContent})
	tree.Put("f", vfstest.File{Data: []byte("x")})
	tree.Before(func(ctx context.Context, op vfstest.Op, path string) error {
		if op == vfstest.OpWalk && path == "gone" {
			return vfstest.Block(ctx)
		}
		return nil
	})
	r := newRig(t, tree, nil)
	c := r.talk(r.dial()).hello(8192)
	c.send(walk(1, 0, 1, "stuck"))
	c.expect(tWalk+1, 1)
	c.send(on(tLopen, 2, 1), walk(3, 0, 2, "gone"), on(tClunk, 4, 1))
	c.send(walk(5, 0, 3, "f"), on(tLopen, 6, 3), on(tRead, 7, 3))
	c.expect(tWalk+1, 5)
	c.expect(tLopen+1, 6)
	c.expect(tRead+1, 7)
	// The flush ends the open; the clunk behind it is carried out.
	c.send(flush(8, 2))
	c.refused(2, syscall.EINTR)
	c.expect(tFlush+1, 8)
	c.expect(tClunk+1, 4)
	c.send(flush(9, 3), flush(10, 9), flush(11, 77))
	// Each flush is answered behind what it ends; the one of nothing at any time.
	var order []uint16
	for range 4 {
		f := c.read()
		if tag := binary.LittleEndian.Uint16(f[5:]); tag != 11 {
			order = append(order, tag)
		}
	}
	if !slices.Equal(order, []uint16{3, 9, 10}) {
		t.Errorf("answered in the order %d", order)
	}
}

// TestHangUp shows that a client that goes away takes its requests with it.
func TestHangUp(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("stuck", vfstest.File{Read: vfstest.BlockedContent})
	tree.Put("d/f", vfstest.File{Data: []byte("x"), Stream: true})
	var opening atomic.Int32
	tree.Before(func(_ context.Context, op vfstest.Op, path string) error {
		if op == vfstest.OpOpen && path == "stuck" {
			opening.Add(1)
		}
		return nil
	})
	r := newRig(t, tree, nil)
	for range 10 {
		opening.Store(0)
		c := r.talk(r.dial()).hello(8192)
		c.send(walk(1, 0, 1, "stuck"), on(tLopen, 2, 1), walk(3, 0, 2, "stuck"), on(tLopen, 4, 2), on(tClunk, 5, 2))
		c.send(walk(6, 0, 3, "d", "f"), on(tLopen, 7, 3), walk(8, 0, 4, "d"), on(tLopen, 9, 4))
		wait.Until(t, "all is open", func() bool { return opening.Load() == 2 && tree.Handles() == 2 })
		c.conn.Close()
		wait.Until(t, "all is closed", func() bool { return tree.Handles() == 0 && r.conns.Load() == 0 })
	}
	if lines := r.lines(); len(lines) > 0 {
		t.Errorf("logged: %q", lines)
	}
}

func TestWalk(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("a/b/c", vfstest.File{Data: []byte("x")})
	r := newRig(t, tree, nil)
	c := r.talk(r.dial()).hello(8192)
	for i, tt := range []struct {
		names []string
		qids  int // of them; -1 is ENOENT, -2 ENOTDIR, -3 ENAMETOOLONG
	}{
		{nil, 0},
		{[]string{"a", "b", "c"}, 3},
		{[]string{"a", "b", "x", "y"}, 2},
		{[]string{"a", "b", "c", "d"}, 3},
		{[]string{"x"}, -1},
		{[]string{"a", "..", "..", "..", "a", "b"}, 6},
		{[]string{"."}, -1},
		{[]string{"a/b"}, -1},
		{[]string{""}, -1},
		{[]string{"a\x00"}, -1},
		{[]string{strings.Repeat("a", 256)}, -3},
		{[]string{"a", "b", "..", "b", "..", "b", "..", "b", "..", "b", "..", "b", "..", "b", "..", "b"}, 16},
	} {
		tag := uint16(i + 10)
		c.send(walk(tag, 0, 1, tt.names...), on(tClunk, 9, 1))
		switch tt.qids {
		case -1:
			c.refused(tag, syscall.ENOENT)
		case -3:
			c.refused(tag, syscall.ENAMETOOLONG)
		default:
			body := c.expect(tWalk+1, tag)
			if n := int(binary.LittleEndian.Uint16(body)); n != tt.qids || len(body) != 2+n*qidSize {
				t.Errorf("walk of %q: %d qids, want %d", tt.names, n, tt.qids)
			}
		}
		if tt.qids == len(tt.names) {
			c.expect(tClunk+1, 9)
		} else {
			c.refused(9, syscall.EBADF)
		}
	}
	c.send(walk(1, 0, 1, "a", "b", "c"), walk(2, 1, 2, "x"), walk(3, 0, 1), walk(4, 9, 5), walk(5, 1, 1, "..", "c"), walk(6, 0, noFID))
	got := map[uint16]error{}
	for range 6 {
		f := c.read()
		if f[4] == tLerror+1 {
			got[binary.LittleEndian.Uint16(f[5:])] = errRemote(binary.LittleEndian.Uint32(f[7:]))
		}
	}
	want := map[uint16]error{2: syscall.ENOTDIR, 3: syscall.EBADF, 4: syscall.EBADF, 6: syscall.EBADF}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("refused %v, want %v", got, want)
	}
}

func TestReadDir(t *testing.T) {
	tree := vfstest.NewTree()
	want := make([]string, 500)
	for i := range want {
		want[i] = fmt.Sprintf("%d%s", i, strings.Repeat("x", i%250))
		tree.Put(want[i], vfstest.File{})
	}
	r := newRig(t, tree, nil)
	for _, count := range []uint32{290, 512, 4096, 1 << 20} {
		c := r.talk(r.dial()).hello(max(count+readOverhead, MinMsize))
		c.send(walk(1, 0, 1), on(tLopen, 2, 1))
		c.expect(tWalk+1, 1)
		c.expect(tLopen+1, 2)
		var got []string
		for offset := uint64(0); ; {
			c.send(call{typ: tReaddir, tag: 3, fid: 1, offset: offset, count: count})
			body := c.expect(tReaddir+1, 3)
			if len(body) > int(count)+4 {
				t.Fatalf("%d bytes, asked for %d", len(body)-4, count)
			}
			some, next := names(t, body)
			if len(some) == 0 {
				break
			}
			got, offset = append(got, some...), next
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("count %d: %d entries, want %d", count, len(got), len(want))
		}
		c.send(call{typ: tReaddir, tag: 3, fid: 1, count: 20})
		c.refused(3, syscall.EINVAL)
		c.send(on(tRead, 4, 1))
		c.refused(4, syscall.EISDIR)
	}
}

// TestRefused lists what a server of a read-only tree says no to.
func TestRefused(t *testing.T) {
	tree := sample(16)
	r := newRig(t, tree, nil)
	c := r.talk(r.dial()).hello(8192)
	c.send(walk(1, 0, 1, "1", "stat"), walk(2, 0, 2, "self"), walk(3, 0, 3, "rpc"), walk(4, 0, 4))
	for range 4 {
		c.read()
	}
	open := func(fid, flags uint32) call { return call{typ: tLopen, fid: fid, flags: flags} }
	for _, tt := range []struct {
		name string
		call call
		want error
	}{
		{"write to a file", open(1, 1), syscall.EROFS},
		{"truncate a file", open(1, flagTruncate), syscall.EROFS},
		{"a file as a directory", open(1, flagDirectory), syscall.ENOTDIR},
		{"write to a directory", open(4, flagReadWrite), syscall.EISDIR},
		{"open a link", open(2, 0), syscall.ELOOP},
		{"unknown fid", open(77, 0), syscall.EBADF},
		{"read what is not open", on(tRead, 0, 1), syscall.EBADF},
		{"list what is not open", on(tReaddir, 0, 4), syscall.EBADF},
		{"write what is not open", on(tWrite, 0, 1), syscall.EBADF},
		{"readlink of a file", on(tReadlink, 0, 1), syscall.EINVAL},
		{"auth", on(tAuth, 0, 9), syscall.ENOENT},
		{"set attributes", on(tSetattr, 0, 1), syscall.EROFS},
		{"make a directory", on(tMkdir, 0, 0), syscall.EROFS},
		{"a message of 9P2000", on(124, 0, 0), syscall.EOPNOTSUPP},
		{"remove", on(tRemove, 0, 1), syscall.EROFS},
		{"removed is clunked", on(tClunk, 0, 1), syscall.EBADF},
		{"attach to a fid in use", call{typ: tAttach, fid: 0}, syscall.EBADF},
		{"attach to no such name", call{typ: tAttach, fid: 9, aname: "nope"}, syscall.ENOENT},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.call.tag = 5
			c.t = t
			c.send(tt.call)
			c.refused(5, tt.want)
		})
	}
}

func TestHarmless(t *testing.T) {
	tree := sample(16)
	r := newRig(t, tree, nil)
	c := r.talk(r.dial()).hello(8192)
	c.send(walk(1, 0, 1, "1", "stat"), on(tStatfs, 2, 1))
	c.expect(tWalk+1, 1)
	if b := c.expect(tStatfs+1, 2); len(b) != 60 || binary.LittleEndian.Uint32(b) != statfsMagic {
		t.Errorf("statfs: % x", b)
	}
	frame := func(typ uint8, body ...byte) {
		c.write(sizeFrame(append(begin(nil, typ, 3), body...), 0))
	}
	fid1 := []byte{1, 0, 0, 0}
	frame(tFsync, fid1...)
	c.expect(tFsync+1, 3)
	frame(tFsync, append(fid1, 0, 0, 0, 0)...)
	c.expect(tFsync+1, 3)
	frame(tXattrwalk, append(fid1, 9, 0, 0, 0, 1, 0, 'x')...)
	c.refused(3, syscall.EOPNOTSUPP)
	frame(tLock, append(fid1, append(make([]byte, 25), 1, 0, 'c')...)...)
	if b := c.expect(tLock+1, 3); !bytes.Equal(b, []byte{lockSuccess}) {
		t.Errorf("lock: % x", b)
	}
	lock := append(append([]byte{1}, bytes.Repeat([]byte{7}, 20)...), 1, 0, 'c')
	frame(tGetlock, append(fid1, lock...)...)
	if b := c.expect(tGetlock+1, 3); b[0] != lockNone || !bytes.Equal(b[1:], lock[1:]) {
		t.Errorf("getlock: % x", b)
	}
}
