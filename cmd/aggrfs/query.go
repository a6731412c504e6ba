package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/internal/nodeset"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// maxTable bounds a table read from a server, in bytes.
const maxTable = 64 << 20

func (a *app) nodesCommand() *cobra.Command {
	var src source
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "Show the nodes and how they are",
		Long:  "Show a line a node: the table that is cluster/nodes in the tree.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.show(cmd.Context(), &src, "cluster", "nodes")
		},
	}
	src.addFlags(cmd)
	src.addTLSFlags(cmd)
	return a.withLogLevel(cmd, "error")
}

func (a *app) whoamiCommand() *cobra.Command {
	var src source
	cmd := &cobra.Command{
		Use:   "whoami",
		Short: "Show who you are to the cluster, what you may see, and which rule says so",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.show(cmd.Context(), &src, "cluster", "whoami")
		},
	}
	src.addFlags(cmd)
	return a.withLogLevel(cmd, "error")
}

func (a *app) whereCommand() *cobra.Command {
	var src source
	cmd := &cobra.Command{
		Use:     "where GPID|NODE:PID",
		Short:   "Show on which node a process is, and its pid there",
		Example: "  aggrfs where 120003456\n  aggrfs where n12:3456",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := aggregate.ParseID(args[0]); err != nil {
				return err
			}
			err := a.show(cmd.Context(), &src, "cluster", "where", args[0])
			switch {
			case errors.Is(err, syscall.EHOSTDOWN):
				return fmt.Errorf("%s is on a node that does not answer (see aggrfs nodes)", args[0])
			case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ESRCH):
				return fmt.Errorf("no process %s: it has ended, or its node is not in the cluster (see aggrfs nodes)", args[0])
			}
			return err
		},
	}
	src.addFlags(cmd)
	src.addTLSFlags(cmd)
	return a.withLogLevel(cmd, "error")
}

// show prints a file of the tree.
func (a *app) show(ctx context.Context, src *source, names ...string) error {
	tree, err := src.openTable(ctx, a)
	if err != nil {
		return err
	}
	defer tree.Close()
	text, err := readTable(ctx, tree, names...)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}

// readTable reads a file of the tree.
func readTable(ctx context.Context, t *tree, names ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, t.wait())
	defer cancel()
	root, err := t.root(ctx)
	if err != nil {
		return nil, err
	}
	return vfs.ReadFile(ctx, root, maxTable, names...)
}

// missing says which nodes the tree lacks, or "" if none.
func (a *app) missing(ctx context.Context, t *tree) string {
	table, err := readTable(ctx, t, "cluster", "nodes")
	if err != nil {
		return "the state of the nodes is not known: " + err.Error()
	}
	var absent []string
	total := -1 // the header
	for line := range bytes.Lines(table) {
		total++
		// Columns 3 and 6 are the state and the number of processes.
		if f := strings.Fields(string(line)); total > 0 && len(f) > 5 && (f[2] != "up" || f[5] == "-") {
			absent = append(absent, f[0])
		}
	}
	if len(absent) == 0 {
		return ""
	}
	return fmt.Sprintf("no answer from %d of %d nodes, whose processes are not shown: %s (see aggrfs nodes)", len(absent), total, nodeset.Of(absent...))
}
