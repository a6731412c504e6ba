package ninep

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// sample is a tree with one of everything; its large files have that many bytes.
func sample(large int) *vfstest.Tree {
	tree := vfstest.NewTree()
	tree.Put("1/stat", vfstest.File{Data: []byte("1 (init) S 0"), NoSize: true})
	tree.Put("1/status", vfstest.File{Data: bytes.Repeat([]byte("Name:\tinit\n"), 100), Stream: true})
	tree.Put("1/maps", vfstest.File{Read: vfstest.Counter("v%d\n")})
	tree.Put("1/task/1/stat", vfstest.File{Data: []byte("1 (init) S 0")})
	tree.Put("1/exe", vfstest.Link{Target: "/sbin/init"})
	tree.Put("who", vfstest.File{Read: vfstest.PerUser("uid %d\n")})
	tree.Put("self", vfstest.Link{Target: "1"})
	tree.Put("empty", vfstest.Dir{})
	tree.Put("nothing", vfstest.File{})
	tree.Put("large", vfstest.File{Data: bytes.Repeat([]byte("0123456789abcde\n"), large/16)})
	tree.Put("largestream", vfstest.File{Data: bytes.Repeat([]byte("fedcba987654321\n"), large/16+1), Stream: true})
	tree.Put("secret", vfstest.File{Stat: vfstest.Stat{Only: []uint32{0}}, Data: []byte("root's")})
	tree.Put("stuck", vfstest.File{Read: vfstest.BlockedContent})
	tree.Put("rpc", vfstest.File{RPC: func(_ context.Context, _ vfs.Identity, req []byte) ([]byte, error) {
		return append([]byte("you said "), req...), nil
	}})
	for i := range 300 {
		tree.Put(fmt.Sprintf("many/%d", i), vfstest.File{Data: []byte("x")})
	}
	return tree
}

// TestTree runs the conformance suite over the client, and with it the server.
//
// What 9P2000 forces: a connection has one identity, so that Others are Who by
// another name; links and listings are as in 9P2000.L, for the client makes them
// of files with DMSYMLINK and of whole directories; attributes lack the number of
// links and what is finer than a second, of which the suite says nothing.
func TestTree(t *testing.T) {
	unix := func(r *rig) net.Conn { return r.dial() }
	secured := func(r *rig) net.Conn {
		p := newPKI(r.t)
		return p.open("front").dial(r, r.serveTLS(p.open("node")), "node")
	}
	pipe := func(r *rig) net.Conn { return r.pipe() }
	stacked := func(r *rig) net.Conn { // a server of what another serves
		return newRig(r.t, r.client(r.dial(), ClientConfig{}), nil).dial()
	}
	const plain9P = "9P2000"
	for _, tt := range []struct {
		name  string
		conn  func(*rig) net.Conn
		cfg   ClientConfig
		large int // bytes
	}{
		{"unix", unix, ClientConfig{}, 3 << 19},
		{"tls", secured, ClientConfig{}, 3 << 19},
		{"pipe", pipe, ClientConfig{}, 3 << 19},
		{"stacked", stacked, ClientConfig{Msize: 8192}, 5 * 8192},
		{"smallest frames", unix, ClientConfig{Msize: MinMsize}, 4 * MinMsize},
		{"8 KiB frames", unix, ClientConfig{Msize: 8192}, 5 * 8192},
		{"one at a time", unix, ClientConfig{Foreign: true}, 3 << 19},
		{"9P2000", unix, ClientConfig{Dialect: plain9P, Own: true}, 3 << 19},
		{"9P2000, one at a time, smallest frames", pipe, ClientConfig{Dialect: plain9P, Own: true, Foreign: true, Msize: MinMsize}, 4 * MinMsize},
		{"one at a time, smallest frames", pipe, ClientConfig{Foreign: true, Msize: MinMsize}, 4 * MinMsize},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree := sample(tt.large)
			// The suite attaches to what there is not: that is for the audit.
			r := newRig(t, tree, func(cfg *ServerConfig) {
				cfg.Audit = slog.New(slog.DiscardHandler)
				if tt.cfg.Dialect == plain9P { // where a client says no number
					cfg.Identify = func(Peer, Claim) (vfs.Identity, error) { return vfs.Root, nil }
				}
			})
			vfstest.TestTree(t, vfstest.Options{
				Tree:    r.client(tt.conn(r), tt.cfg),
				Who:     vfs.Root,
				Others:  []vfs.Identity{{UID: 1001, GID: 1001}},
				Blocked: []string{"stuck"},
				Skip:    func(p string) bool { return p == "rpc" },
				Grace:   5 * time.Second,
				Ending: func(*testing.T) (string, func(), func()) {
					tree.Put("7/stat", vfstest.File{Data: []byte("7")})
					return "7/stat", func() { tree.Remove("7/stat") },
						func() { tree.Put("7/stat", vfstest.File{Data: []byte("8")}) }
				},
			})
			if lines := r.lines(); len(lines) > 0 {
				t.Errorf("logged: %q", lines)
			}
		})
	}
}
