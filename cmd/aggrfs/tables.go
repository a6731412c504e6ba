package main

import (
	"context"

	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// maxTable bounds a table read from a server, in bytes.
const maxTable = 64 << 20

// readTable reads a file of the tree.
func readTable(ctx context.Context, t *tree, names ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, t.wait())
	defer cancel()
	root, err := t.root(ctx)
	if err != nil {
		return nil, t.explain(err)
	}
	text, err := vfs.ReadFile(ctx, root, maxTable, names...)
	return text, t.explain(err)
}

// readNodes reads cluster/nodes.
func readNodes(ctx context.Context, t *tree) ([]report.Node, error) {
	text, err := readTable(ctx, t, "cluster", "nodes")
	if err != nil {
		return nil, err
	}
	return report.ParseNodes(text)
}

// namesOf are the names of nodes.
func namesOf(nodes []report.Node) []string {
	names := make([]string, len(nodes))
	for i := range nodes {
		names[i] = nodes[i].Name
	}
	return names
}

// readNames are the names of the tree's nodes.
func readNames(ctx context.Context, t *tree) ([]string, error) {
	nodes, err := readNodes(ctx, t)
	return namesOf(nodes), err
}
