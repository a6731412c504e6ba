// Package fakefront serves files of cluster/ as the server that commands ask, for tests of
// what they make of them.
package fakefront

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// What tables begin with, and cluster/nodes of two nodes that are well.
const (
	NodesHead = "NODE INDEX STATE STALE PROCS MISSED ERROR\n"
	TwoNodes  = NodesHead + "n1 1 up - 5 0 -\nn2 2 up - 5 0 -\n"
	PSHead    = "NODE PID GPID PPID USER S CPU RSS START COMMAND\n"
)

// PSRow is a line of a table of processes.
func PSRow(node, pid, gpid, user string) string {
	return strings.Join([]string{node, pid, gpid, "0", user, "S", "1.00", "100", "2026-11-25T08:00:00Z", "x\n"}, " ")
}

// Serve serves files of cluster/, by their paths in it, at a unix socket until the test ends.
// They are an aggrfs serve's as far as commands look.
func Serve(t *testing.T, socket string, files map[string]string) *vfstest.Tree {
	t.Helper()
	tree := vfstest.NewTree()
	tree.Put("cluster", vfstest.Dir{})
	for _, dir := range []string{"ps-of", "where"} {
		tree.Put("cluster/"+dir, vfstest.Dir{})
	}
	tree.Put("cluster/hints", vfstest.File{Data: []byte("read 2s\nremarks yes\n")})
	for path, text := range files {
		tree.Put("cluster/"+path, vfstest.File{Data: []byte(text)})
	}
	l, err := (*ninep.TLS)(nil).Listen(t.Context(), ninep.Addr{Network: "unix", Address: socket}, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	server := ninep.NewServer(ninep.ServerConfig{Tree: tree, Identify: ninep.Trust{}.Identify, Log: slog.New(slog.DiscardHandler)})
	go func() { ended <- server.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-ended })
	return tree
}
