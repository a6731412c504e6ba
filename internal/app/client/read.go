package client

import (
	"context"

	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// maxTable bounds a table read from a server, in bytes.
const maxTable = 64 << 20

// Read reads a file of the tree, and waits for it no longer than Wait.
func (t *Tree) Read(ctx context.Context, names ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, t.Wait())
	defer cancel()
	root, err := t.Root(ctx)
	if err != nil {
		return nil, t.Explain(err)
	}
	text, err := vfs.ReadFile(ctx, root, maxTable, names...)
	return text, t.Explain(err)
}

// Nodes reads cluster/nodes.
func (t *Tree) Nodes(ctx context.Context) ([]report.Node, error) {
	text, err := t.Read(ctx, "cluster", "nodes")
	if err != nil {
		return nil, err
	}
	return report.ParseNodes(text)
}

// NodeNames are the names of the tree's nodes.
func (t *Tree) NodeNames(ctx context.Context) ([]string, error) {
	nodes, err := t.Nodes(ctx)
	return Names(nodes), err
}

// Names are the names of nodes.
func Names(nodes []report.Node) []string {
	names := make([]string, len(nodes))
	for i := range nodes {
		names[i] = nodes[i].Name
	}
	return names
}
