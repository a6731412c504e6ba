package main

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

func addJSONFlag(cmd *cobra.Command, on *bool) {
	cmd.Flags().BoolVar(on, "json", false, "print JSON; see docs/commands.md")
}

func (a *app) nodesCommand() *cobra.Command {
	src := source{Env: &a.env}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "Show the nodes and their states",
		Long: `Show a line for each node that you may see; docs/namespace.md explains the columns of this
table, which is the file cluster/nodes of the tree. The exit status is 3 if you see no nodes
at all, and with --strict also if processes of any node are missing or old.`,
		Args: noArguments("--nodes"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return exit.NotKnown(a.nodes(cmd.Context(), &src, cmd.OutOrStdout(), asJSON))
		},
	}
	sourceFlags(cmd, &src)
	tlsFlags(cmd, &src)
	strictFlag(cmd, &src, "fail with status 3 if processes of any node are missing or old")
	addJSONFlag(cmd, &asJSON)
	return a.withLogLevel(cmd, "error")
}

// nodes prints the table of nodes.
func (a *app) nodes(ctx context.Context, src *source, out io.Writer, asJSON bool) error {
	tree, err := src.OpenTable(ctx)
	if err != nil {
		return err
	}
	defer tree.Close()
	at := time.Now()
	text, err := tree.Read(ctx, "cluster", "nodes")
	if err != nil {
		return err
	}
	nodes, err := report.ParseNodes(text)
	if err != nil {
		return err
	}
	g := nodesGaps(nodes)
	if asJSON {
		err = report.WriteRows(out, g.answer(at), nodes)
	} else {
		_, err = out.Write(text)
	}
	switch {
	case err != nil:
		return err
	case g.blind:
		return errNoNodes()
	case src.Strict && !g.none():
		return exit.NotComplete() // which nodes is in the table
	}
	return nil
}

func (a *app) whereCommand() *cobra.Command {
	src := source{Env: &a.env}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "where GPID|NODE:PID",
		Short: "Show on which node a process runs, and its pid there",
		Long: `Show on which node a process runs, and its pid there. GPID is a global pid, as aggrfs ps
shows it in the column PID. The exit status is 1 if there is no such process, 2 if there is
no such node, and 3 if the answer is not known: no server, or no answer in time from the
process's node.`,
		Example: "  aggrfs where 120003456\n  aggrfs where n12:3456",
		Args:    oneArgument("one process: a GPID or NODE:PID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := gpid.ParseID(args[0])
			if err != nil {
				return exit.Usagef("%w", err)
			}
			return exit.NotKnown(a.where(cmd.Context(), &src, cmd.OutOrStdout(), args[0], id, asJSON))
		},
	}
	sourceFlags(cmd, &src)
	tlsFlags(cmd, &src)
	addJSONFlag(cmd, &asJSON)
	return a.withLogLevel(cmd, "error")
}

// where prints where a process is, named by name.
func (a *app) where(ctx context.Context, src *source, out io.Writer, name string, id gpid.ID, asJSON bool) error {
	tree, err := src.OpenTable(ctx)
	if err != nil {
		return err
	}
	defer tree.Close()
	at := time.Now()
	text, err := tree.Read(ctx, "cluster", "where", name)
	var found []report.Where
	var g gaps
	switch {
	case err == nil:
		if found, err = report.ParseWhere(text); err != nil {
			return err
		}
	case isNoSuch(err) || errors.Is(err, syscall.EHOSTDOWN):
		nodes, lost := tree.Nodes(ctx)
		if lost != nil {
			return lost
		}
		g = nodesGaps(nodes)
		if err = a.notFound(ctx, src, tree, name, id, nodes, err); exit.Status(err) == exit.Usage {
			return err
		}
	default:
		return err
	}
	if asJSON {
		err = errors.Join(report.WriteRows(out, g.answer(at), found), err)
	} else if err == nil {
		_, err = out.Write(text)
	}
	return err
}

// isNoSuch reports whether err is that there is no such process.
func isNoSuch(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESRCH)
}

// notFound says why a process is not shown: it is not there, nobody knows, or there is no
// such node. nodes is cluster/nodes.
func (a *app) notFound(ctx context.Context, src *source, t *tree, name string, id gpid.ID, nodes []report.Node, err error) error {
	asked := psOptions{wanted: []gpid.ID{id}}
	if hiding := asked.hiding(nodesGaps(nodes)); errors.Is(err, syscall.EHOSTDOWN) || !hiding.none() {
		return errNothingKnown("where "+name+" is", hiding)
	}
	if err := src.CheckIDs(ctx, t, name, asked.wanted, nodes); err != nil {
		return err
	}
	return exit.Absentf("no process %s: it has ended, or its node is not in the cluster or not in your view (see aggrfs nodes)", name)
}
