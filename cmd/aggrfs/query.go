package main

import (
	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/app/query"
)

// jsonFlag adds --json.
func jsonFlag(cmd *cobra.Command, on *bool) {
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
			return exit.NotKnown(query.Nodes(cmd.Context(), &src, cmd.OutOrStdout(), asJSON))
		},
	}
	sourceFlags(cmd, &src)
	tlsFlags(cmd, &src)
	strictFlag(cmd, &src, "fail with status 3 if processes of any node are missing or old")
	jsonFlag(cmd, &asJSON)
	return a.withLogLevel(cmd, "error")
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
			return exit.NotKnown(query.Where(cmd.Context(), &src, cmd.OutOrStdout(), args[0], asJSON))
		},
	}
	sourceFlags(cmd, &src)
	tlsFlags(cmd, &src)
	jsonFlag(cmd, &asJSON)
	return a.withLogLevel(cmd, "error")
}

func (a *app) whoamiCommand() *cobra.Command {
	src := source{Env: &a.env}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "whoami",
		Short: "Show who you are to the cluster, what you may see, and which rule says so",
		Long: `Show which user the server takes you for, which nodes, processes and files you may see,
and which rule of its configuration decides that.`,
		Args: noArguments("--as"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return exit.NotKnown(query.Whoami(cmd.Context(), &src, cmd.OutOrStdout(), asJSON))
		},
	}
	sourceFlags(cmd, &src)
	tlsFlags(cmd, &src)
	jsonFlag(cmd, &asJSON)
	return a.withLogLevel(cmd, "error")
}
