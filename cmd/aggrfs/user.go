package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/app/mount"
	"github.com/aggrfs/aggrfs/internal/app/ps"
	"github.com/aggrfs/aggrfs/internal/app/query"
	"github.com/aggrfs/aggrfs/internal/app/where"
)

// jsonFlag adds --json.
func jsonFlag(cmd *cobra.Command, on *bool) {
	cmd.Flags().BoolVar(on, "json", false, "print JSON; see docs/commands.md")
}

func (a *app) nodesCommand() *cobra.Command {
	src := source{Env: &a.env}
	var asJSON bool
	var states []string
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "Show the nodes and their states",
		Long: `Show a line for each node that you may see; docs/namespace.md explains the columns of this
table, which is the file cluster/nodes of the tree. --state leaves out nodes in other states. The
exit status is 3 if you see no nodes at all, and with --strict also if processes of any node are
missing or old, be it shown or not.`,
		Example: "  aggrfs nodes\n  aggrfs nodes --state silent,down",
		Args:    noArguments("--nodes"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return exit.NotKnown(query.Nodes(cmd.Context(), &src, cmd.OutOrStdout(), asJSON, states))
		},
	}
	sourceFlags(cmd, &src)
	tlsFlags(cmd, &src)
	strictFlag(cmd, &src, "fail with status 3 if processes of any node are missing or old")
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringSliceVar(&states, "state", nil, "show only nodes in these `STATES`: up, silent, down, connecting")
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

// indented is a text with its lines moved to the right.
func indented(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}

func (a *app) statusCommand() *cobra.Command {
	src := source{Env: &a.env}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the server, its nodes and certificates are, what is wrong and what to do",
		Long: `Show a line for each part of the server: whether it is well ("ok"), since when it is as it
is, and what is wrong and what to do. Nodes that are in the same trouble share a line. This is
the file cluster/status of the tree; docs/operations.md explains its lines. Who does not see
everything is shown what is theirs: their nodes, their mounts, their allocations.

It is made for checks: the exit status is 0 if all is well, 1 if there is something to do, 2
for a wrong command line, and 3 if there is no answer. No node is asked for it.`,
		Example: "  aggrfs status\n  aggrfs status --json",
		Args:    noArguments(""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return exit.NotKnown(query.Status(cmd.Context(), &src, cmd.OutOrStdout(), asJSON))
		},
	}
	sourceFlags(cmd, &src)
	tlsFlags(cmd, &src)
	jsonFlag(cmd, &asJSON)
	return a.withLogLevel(cmd, "error")
}

func (a *app) psCommand() *cobra.Command {
	src := source{Env: &a.env}
	var o ps.Options
	cmd := &cobra.Command{
		Use:   "ps [flags] [aux]",
		Short: "Show the processes of the cluster, a line each",
		Long: `Show the processes of the cluster that you may see, each with its node. One file of the
tree, cluster/ps, has them all, so that this is much faster than ps(1) on the tree. All are
shown unless -u, -p, -t, --job or --where select some. "aux", -e, -f and -A are taken as ps(1) takes them.

At a terminal lines are cut at its width and START is local time; elsewhere lines are whole
and START is in UTC.

Columns for -o and --sort (with "-" in front for the largest first); those below args and
%cpu come of other tables and take as long again:

` + indented(ps.Columns()) + `
--where 'rss > 4*GiB && user != "root"' shows the processes of which that is true. It is an
expression of these columns, with the operators ==, !=, <, <=, >, >=, &&, ||, !, +, -, *, /, %,
in, contains, startsWith, endsWith and matches (a pattern), with units KiB, MiB, GiB, TiB,
minute, hour and day, and with a few functions (docs/commands.md):

` + indented(where.Help()) + `
Nodes whose processes are missing or old are named on standard error and in the JSON. The
exit status is 0; 1 if some were selected and there is no such process; 2 for a wrong
command line; and 3 if the answer is not known: no server, no row while processes of a node
are missing or old, no nodes in your view, or with --strict any node like that.`,
		Example: "  aggrfs ps -ef\n  aggrfs ps aux --sort -rss\n  aggrfs ps -u ann --nodes 'n[001-032]'\n  aggrfs ps -o node,pid,args -p 120003456\n  aggrfs ps --where 'rss > 4*GiB && user != \"root\"' --sort -rss",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exit.Usagef("ps takes one argument, such as aux, and there are %d: %s", len(args), strings.Join(args, " "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.Letters = &args[0]
			}
			return exit.NotKnown(ps.Print(cmd.Context(), &src, cmd.OutOrStdout(), o))
		},
	}
	sourceFlags(cmd, &src)
	tlsFlags(cmd, &src)
	strictFlag(cmd, &src, "fail with status 3 if processes of any node are missing or old")
	f := cmd.Flags()
	f.BoolP("all", "e", false, "show all processes, which is the default")
	f.BoolP("every", "A", false, "the same as -e")
	f.BoolVarP(&o.Full, "full", "f", false, "show more columns")
	f.BoolVarP(&o.Jobs, "jobs", "j", false, "show the column job, too")
	f.StringVarP(&o.Columns, "format", "o", "", "show these `COLUMNS`, such as node,pid,args; help lists all")
	f.StringVar(&o.Sort, "sort", "", "sort by these `COLUMNS`, such as -rss,pid")
	f.IntVar(&o.Limit, "limit", 0, "show the first `N` rows alone, by --sort if it is given; 0 is all")
	f.StringSliceVarP(&o.Users, "user", "u", nil, "show only processes of these `USERS`, by name or number")
	f.StringSliceVarP(&o.PIDs, "pid", "p", nil, "show only these `PIDS`, each a global pid or NODE:PID")
	f.StringSliceVar(&o.JobIDs, "job", nil, "show only processes of these `JOBS`, as the column job has them")
	f.StringVar(&o.Where, "where", "", "show only processes of which this `EXPR` is true (see above)")
	f.StringVar(&o.GroupBy, "group-by", "", "show sums by `WHAT`, most memory first: node, user, job or command")
	f.StringSliceVarP(&o.Terminals, "tty", "t", nil, "the processes on these `TERMINALS` alone: pts/30 on any node, or n1:pts/30")
	f.BoolVar(&o.NoKernel, "no-kernel", false, "leave out the kernel threads of all nodes")
	f.BoolVar(&o.NoHeaders, "no-headers", false, "leave out the line of column names")
	f.BoolVar(&o.JSON, "json", false, "print JSON, with all columns or those of -o; see docs/commands.md")
	return a.withLogLevel(cmd, "error")
}

func (a *app) mountCommand() *cobra.Command {
	src := source{Env: &a.env}
	var o mount.Options
	cmd := &cobra.Command{
		Use:   "mount [flags] DIR",
		Short: "Mount the merged tree on a directory",
		Long: `Mount the merged tree on DIR by FUSE until it is unmounted or the command gets SIGINT or
SIGTERM. The running server answers for the mount, which outlives it: while there is none,
all of it fails with EIO (see docs/mount.md). The mount is for the calling user alone; with
--allow-other, for root only, it is for all users, and each sees their own view. Users other
than root mount on a directory of their own, by fusermount3.

With --type 9p, for root only, the kernel's own 9P client mounts from the socket of a
running server. The command runs as long as the mount is there: a signal makes it unmount
and end, and so does the end of the server, which is an error.`,
		Example: "  aggrfs mount /global\n  aggrfs mount --allow-other /global\n  aggrfs mount --type 9p --allow-other /global\n  umount /global",
		Args:    oneArgument("one directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return mount.Mount(cmd.Context(), &src, args[0], o)
		},
	}
	sourceFlags(cmd, &src)
	tlsFlags(cmd, &src)
	strictFlag(cmd, &src, "do not mount, and fail with status 3, if processes of any node are missing or old now")
	cmd.Flags().BoolVar(&o.Shared, "allow-other", false, "mount for all users, each with their own view (for root)")
	cmd.Flags().StringVar(&o.Type, "type", "fuse", "mount with this `TYPE` of file system: fuse, or 9p (see above)")
	prefetchedFlag(cmd, &o.Prefetched)
	cmd.MarkFlagsMutuallyExclusive("allow-other", "as")
	return a.withLogLevel(cmd, "info")
}

func (a *app) execCommand() *cobra.Command {
	src := source{Env: &a.env}
	var o mount.ExecOptions
	var oneCPU bool
	cmd := &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARG...]",
		Short: "Run a command that sees the processes of the cluster",
		Long: `Run COMMAND with the merged tree as its /proc, in a mount namespace of its own;
the /proc of everybody else stays what it is.

The exit status is that of COMMAND, or 125, 126 or 127 if it could not be run, as with
env(1). Nodes whose processes are missing or old are named on standard error, before COMMAND
starts and once more after it has ended: programs such as pgrep print nothing where /proc
shows nothing, and cannot say why. With --strict the exit status is then 120.

Where the helper aggrfs-ns is installed, COMMAND shows a user the owner of every process.
Elsewhere it runs in a user namespace of the user's own, in which the processes of all
others belong to nobody. Root needs no helper.`,
		Example: "  aggrfs exec -- ps -ef\n  aggrfs exec --nodes 'n[001-032]' -- top",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("exec needs a command: aggrfs exec -- ps -ef")
			}
			if cmd.Flags().Changed("one-cpu") {
				o.OneCPU = &oneCPU
			}
			var err error
			a.exitCode, err = mount.Exec(cmd.Context(), &src, args, o)
			return err
		},
	}
	cmd.Flags().SetInterspersed(false)
	sourceFlags(cmd, &src)
	tlsFlags(cmd, &src)
	strictFlag(cmd, &src, "end with status 120 if processes of any node were missing or old, before or while COMMAND ran")
	prefetchedFlag(cmd, &o.Prefetched)
	cmd.Flags().BoolVar(&o.Wait, "wait", false, "when COMMAND has ended, keep the tree and wait until what it has left in the background has ended, too")
	cmd.Flags().BoolVar(&oneCPU, "one-cpu", false, "run COMMAND and its tree on one CPU, which is faster if COMMAND has one thread (default: for ps, top and the like, and with --prefetched)")
	cmd.Flags().BoolVar(&o.NoControl, "no-control", false, "let kill, renice and their like fail on processes of other machines, which this machine's kernel does not know")
	return a.withLogLevel(cmd, "error")
}

// prefetchedFlag adds --prefetched.
func prefetchedFlag(cmd *cobra.Command, prefetched *bool) {
	cmd.Flags().BoolVar(prefetched, "prefetched", false, "of each process only the files that ps and top read, at the speed of the page cache; no other file exists")
}
