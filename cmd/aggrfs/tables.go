package main

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// maxTable bounds a table read from a server, in bytes.
const maxTable = 64 << 20

// A table is a file of cluster/ that has a line of column names. Columns are found
// by their names: which there are is the server's version.
type table struct {
	header []string
	rows   [][]string // as many cells as the header has
	gaps   gaps       // that the table tells itself
}

// parseTable reads a table as package plaintext writes it: only the last column has
// blanks.
func parseTable(text []byte) (t table) {
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\n")
		switch {
		case len(line) == 0:
		case line[0] == '#':
			t.gaps.add(string(line))
		case t.header == nil:
			t.header = strings.Fields(string(line))
		default:
			row := cells(line, len(t.header))
			row[len(row)-1] = strings.TrimLeft(row[len(row)-1], " ")
			t.rows = append(t.rows, row)
		}
	}
	return t
}

// cells are the cells of a row, of which the last is the rest of the line, blanks and
// all. Cells that the row lacks are "-".
func cells(line []byte, n int) []string {
	row := make([]string, 0, n+1) // ps adds a column
	for len(row) < n-1 {
		line = bytes.TrimLeft(line, " ")
		word, rest, _ := bytes.Cut(line, []byte(" "))
		row, line = append(row, string(word)), rest
	}
	row = append(row, string(line))
	for i := range row {
		if row[i] == "" {
			row[i] = "-"
		}
	}
	return row
}

// column finds a column, -1 where there is none.
func (t *table) column(name string) int { return slices.Index(t.header, name) }

// cell is a row's cell in the column of that name, "-" where there is none.
func (t *table) cell(row []string, name string) string {
	if i := t.column(name); i >= 0 {
		return row[i]
	}
	return "-"
}

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

// nodesTable reads cluster/nodes.
func nodesTable(ctx context.Context, t *tree) (table, error) {
	text, err := readTable(ctx, t, "cluster", "nodes")
	return parseTable(text), err
}

// names are the nodes of cluster/nodes.
func (t *table) names() []string {
	names := make([]string, 0, len(t.rows))
	for _, row := range t.rows {
		names = append(names, t.cell(row, "NODE"))
	}
	return names
}

// namesOf are the nodes of the tree.
func namesOf(ctx context.Context, t *tree) ([]string, error) {
	nodes, err := nodesTable(ctx, t)
	if err != nil {
		return nil, err
	}
	return nodes.names(), nil
}
