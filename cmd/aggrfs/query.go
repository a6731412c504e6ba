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
	cmd.Flags().BoolVar(on, "json", false, "in JSON; see docs/commands.md")
}

func (a *app) nodesCommand() *cobra.Command {
	src := source{Env: &a.env}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "Show the nodes and how they are",
		Long: `Show a line a node: the table that is cluster/nodes in the tree. With --strict the
exit status is 3 unless the processes of all of them are there, as they are now. It is 3
as well where you see no nodes at all.`,
		Args: noArguments("--nodes"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return exit.NotKnown(a.nodes(cmd.Context(), &src, cmd.OutOrStdout(), asJSON))
		},
	}
	sourceFlags(cmd, &src)
	tlsFlags(cmd, &src)
	strictFlag(cmd, &src, "fail with status 3 if a node is missing or late")
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
		Short: "Show on which node a process is, and its pid there",
		Long: `Show on which node a process is, and its pid there. The exit status is 1 where there
is known to be no such process, 2 where there is no such node, and 3 where it is not
known: no server, or its node does not answer, or not in time.`,
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
