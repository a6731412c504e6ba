package ninep

import (
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A stranger is a server of 9P2000 that answers what a test tells it to: answer
// fills p or returns an error, or the whole frame.
type stranger struct {
	answer func(r *request, p *reply) ([]byte, error)
}

// client connects to the stranger.
func (s *stranger) client(t *testing.T, cfg ClientConfig) *Client {
	near, far := net.Pipe()
	var work sync.WaitGroup
	work.Go(func() {
		defer far.Close()
		in := newFrameReader(far, new(buffers), MaxMsize)
		defer in.release()
		for {
			frame, err := in.next()
			if err != nil {
				return
			}
			var r request
			var p reply
			p.qids = append(p.walked[:0], qid{typ: qidDir})
			var out []byte
			if err := (plain{}).decode(frame, &r); err != nil {
				t.Errorf("our own client sends % x: %v", frame, err)
				return
			}
			if r.op == opVersion {
				out = appendVersion(nil, r.tag, 8192, "9P2000")
			} else if out, err = s.answer(&r, &p); err != nil {
				out = plain{}.appendError(nil, r.tag, err)
			} else if out == nil {
				out = plain{}.appendReply(nil, &r, &p)
			}
			if _, err := far.Write(out); err != nil {
				return
			}
		}
	})
	_, cfg.Log = newLog()
	cfg.Dialect, cfg.Foreign, cfg.Msize = "9P2000", true, 8192
	c, err := NewClient(within(t), near, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		work.Wait()
	})
	return c
}

// TestStranger is a server that numbers its root 0, names owners, and says no in
// words.
func TestStranger(t *testing.T) {
	s := &stranger{func(r *request, p *reply) ([]byte, error) {
		switch r.op {
		case opAttach:
			if r.uname != "glenda" {
				t.Errorf("attached as %q", r.uname)
			}
		case opWalk:
			p.qids[0] = qid{typ: qidFile, path: 5}
			if len(r.names) > 0 && r.names[0] == "none" {
				return nil, &protocolError{syscall.ENOENT, "directory entry not found"}
			}
			if len(r.names) > 0 && r.names[0] == "odd" {
				return nil, &protocolError{syscall.EIO, "the moon is full"}
			}
			p.qids = p.qids[:len(r.names)]
		case opGetattr:
			p.name, p.attr = "ctl", vfs.Attr{Mode: 0o600, Size: 3}
			p.qids[0] = qid{typ: qidFile, path: 5}
		}
		return nil, nil
	}}
	c := s.client(t, ClientConfig{Uname: "glenda", Owners: func(user, group string) (uint32, uint32) { return 7, 8 }})
	root := rootOf(t, c)
	if root.ID() == 0 {
		t.Error("the root has no id")
	}
	n, err := root.Walk(within(t), "ctl")
	if err != nil {
		t.Fatal(err)
	}
	a, err := n.Attr(within(t))
	if err != nil || a.UID != 7 || a.GID != 8 || a.Mode != 0o100600 || a.ID != 5 || a.Size != 3 {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := root.Walk(within(t), "none"); vfs.Errno(err) != syscall.ENOENT {
		t.Errorf("what does not exist: %v", err)
	}
	if _, err := root.Walk(within(t), "odd"); vfs.Errno(err) != syscall.EIO {
		t.Errorf("an unknown text: %v", err)
	}
	if _, err := c.Attach(within(t), vfs.Identity{UID: 7}, ""); vfs.Errno(err) != syscall.EACCES {
		t.Errorf("for a user who cannot be named: %v", err)
	}
}

// TestHostileDirectory lists what must not be believed of a directory.
func TestHostileDirectory(t *testing.T) {
	entry := func(names ...string) (b []byte) {
		for _, name := range names {
			b = plain{}.appendEntry(b, &vfs.DirEntry{Name: name, ID: 9, Type: vfs.TypeFile}, &vfs.Attr{})
		}
		return b
	}
	for name, tt := range map[string]struct {
		data  []byte // of each read; once is once
		once  bool
		names []string
		want  error
		ends  bool // the connection does
	}{
		"order":         {data: entry("stat", "10", "9", "09", ".", ".."), once: true, names: []string{"9", "10", "09", "stat"}},
		"twice":         {data: entry("a", "a"), once: true, names: []string{"a"}},
		"without end":   {data: slices.Repeat(entry(strings.Repeat("x", 200)), 30), want: syscall.E2BIG},
		"no name":       {data: entry("a", ""), want: syscall.EIO, ends: true},
		"a path":        {data: entry("a/b"), want: syscall.EIO, ends: true},
		"cut off":       {data: entry("a")[:20], want: syscall.EIO, ends: true},
		"a long name":   {data: entry(strings.Repeat("x", 256)), want: syscall.EIO, ends: true},
		"more than all": {data: slices.Repeat(entry("a"), 200), want: syscall.EIO, ends: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stranger{func(r *request, p *reply) ([]byte, error) {
				if r.op == opWalk {
					p.qids = p.qids[:len(r.names)]
				}
				if r.op == opRead && !(tt.once && r.offset > 0) {
					p.data = tt.data
				}
				return nil, nil
			}}
			c := s.client(t, ClientConfig{})
			h, err := rootOf(t, c).List(within(t))
			var entries []vfs.DirEntry
			if err == nil {
				entries, err = h.ReadDir(within(t), 0, nil, 100)
				h.Close()
			}
			var got []string
			for _, e := range entries {
				got = append(got, e.Name)
			}
			slices.Sort(got[min(len(got), 2):]) // the rest is where their hash says
			if !errors.Is(err, tt.want) || !slices.Equal(got, tt.names) {
				t.Errorf("%q, %v, want %q, %v", got, err, tt.names, tt.want)
			}
			if tt.ends { // soon after the call has its error
				select {
				case <-c.Done():
				case <-time.After(patience):
				}
			}
			if ended := c.Err() != nil; ended != tt.ends {
				t.Errorf("the connection has ended: %v", c.Err())
			}
		})
	}
}
