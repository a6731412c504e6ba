package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// fakeFront serves files of cluster/, by their paths in it, as the front end of this
// machine until the test ends. They are an aggrfs serve's as far as commands look.
func fakeFront(t *testing.T, files map[string]string) *vfstest.Tree {
	t.Helper()
	elsewhere(t)
	tree := vfstest.NewTree()
	tree.Put("cluster", vfstest.Dir{})
	for _, dir := range []string{"ps-of", "where"} {
		tree.Put("cluster/"+dir, vfstest.Dir{})
	}
	tree.Put("cluster/hints", vfstest.File{Data: []byte("read 2s\nremarks yes\n")})
	for path, text := range files {
		tree.Put("cluster/"+path, vfstest.File{Data: []byte(text)})
	}
	l, err := (*ninep.TLS)(nil).Listen(t.Context(), ninep.Addr{Network: "unix", Address: strings.TrimPrefix(defaultServer, "unix:")}, 0o600)
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

// twoNodes is cluster/nodes of two nodes that are well.
const twoNodes = nodesHead + "n1 1 up - 5 0 -\nn2 2 up - 5 0 -\n"

// psHead is the head of a table of processes.
var psHead = psTable[:strings.IndexByte(psTable, '\n')+1]

// psRow is a line of one.
func psRow(node, pid, gpid, user string) string {
	return strings.Join([]string{node, pid, gpid, "0", user, "S", "1.00", "100", "2026-11-25T08:00:00Z", "x\n"}, " ")
}
