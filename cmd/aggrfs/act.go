package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/internal/app/act"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/control"
)

// selectFlags add the flags that say which processes are acted on, and how.
func selectFlags(cmd *cobra.Command, src *source, o *act.Options) {
	sourceFlags(cmd, src)
	tlsFlags(cmd, src)
	f := cmd.Flags()
	for name, usage := range map[string]string{
		"local":   "act on this machine alone, without a server",
		"as":      "act as this `USER`, on what they see and may act on (for root)",
		"nodes":   "act only on processes of these nodes, a `NODESET` such as 'n[001-032,40]'; several add up",
		"exclude": "act on no process of these nodes, a `NODESET`; several add up",
	} {
		f.Lookup(name).Usage = usage
	}
	f.StringSliceVarP(&o.Users, "user", "u", nil, "act only on processes of these `USERS`, by name or number")
	f.StringSliceVar(&o.Jobs, "job", nil, "act only on processes of these `JOBS`, as aggrfs ps -o job shows them")
	f.StringVar(&o.Where, "where", "", "act only on processes of which this `EXPR` is true, as aggrfs ps --where takes it")
	f.BoolVarP(&o.Yes, "yes", "y", false, "act without asking")
	f.BoolVar(&o.DryRun, "dry-run", false, "show the processes and what is not allowed, and do nothing")
}

const selectHelp = `
Processes are named by PID, a global pid, or NODE:PID, or are all those that --user, --job,
--where and --nodes select; of these the first process of a node and the threads of its kernel are none. They
are shown, and at a terminal you are asked, but for what is not allowed; -y does not ask. It acts on the processes that were
shown: on one that has ended meanwhile and whose pid another has, it does nothing.

The server's configuration and the node must allow it (docs/control.md), and the node's kernel
decides as if you were there. The exit status is 0 if it was done to all; 1 if it was not, 2 for a
wrong command line, and 3 if that is not known: no server, or no answer in time from a node.`

func killCommand(a *app) *cobra.Command {
	src := source{Env: &a.env}
	var o act.Options
	signal := "TERM"
	cmd := &cobra.Command{
		Use:     "kill [-s SIGNAL] [flags] [PID|NODE:PID...]",
		Short:   "Send a signal to processes of the cluster",
		Long:    "Send a signal to processes of the cluster, TERM unless another one is named: -s KILL, -KILL or -9." + selectHelp,
		Example: "  aggrfs kill 120003456\n  aggrfs kill -KILL n12:3456\n  aggrfs kill --job 4711 --dry-run\n  aggrfs kill -s USR1 -y --user ann --nodes 'n[1-8]'\n  aggrfs kill --user ann --where 'rss > 100*GiB' --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Action, err = control.ParseAction([]string{"signal", signal}); err != nil {
				return exit.Usagef("%w", err)
			}
			o.PIDs, o.All = args, cmd.Flags().Changed("nodes")
			return exit.NotKnown(act.Run(cmd.Context(), &src, os.Stdin, cmd.OutOrStdout(), o))
		},
	}
	selectFlags(cmd, &src, &o)
	cmd.Flags().StringVarP(&signal, "signal", "s", signal, "the `SIGNAL`, by name or number")
	return a.withLogLevel(cmd, "error")
}

func reniceCommand(a *app) *cobra.Command {
	src := source{Env: &a.env}
	var o act.Options
	nice := ""
	cmd := &cobra.Command{
		Use:     "renice -n N [flags] [PID|NODE:PID...]",
		Short:   "Set the priority of processes of the cluster",
		Long:    "Set the nice value of processes of the cluster, from -20 (served first) to 19." + selectHelp,
		Example: "  aggrfs renice -n 10 120003456\n  aggrfs renice -n 19 -y --user ann",
		RunE: func(cmd *cobra.Command, args []string) error {
			if nice == "" {
				return exit.Usagef("name the nice value: -n N, from -20 to 19")
			}
			var err error
			if o.Action, err = control.ParseAction([]string{"nice", nice}); err != nil {
				return exit.Usagef("%w", err)
			}
			o.PIDs, o.All = args, cmd.Flags().Changed("nodes")
			return exit.NotKnown(act.Run(cmd.Context(), &src, os.Stdin, cmd.OutOrStdout(), o))
		},
	}
	selectFlags(cmd, &src, &o)
	cmd.Flags().StringVarP(&nice, "priority", "n", "", "the nice value `N`, from -20 to 19")
	return a.withLogLevel(cmd, "error")
}

// signalArgument gives "kill -KILL" and "kill -9" the form that flags have, as kill(1) takes them.
func signalArgument(args []string) []string {
	if len(args) < 2 || args[0] != "kill" {
		return args
	}
	for i, arg := range args[1:] {
		name, ok := strings.CutPrefix(arg, "-")
		if arg == "--" {
			break
		}
		if !ok || name == "" || strings.HasPrefix(name, "-") || !strings.ContainsAny(name[:1], "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			continue
		}
		if _, err := control.SignalNumber(name); err == nil {
			given := append([]string{}, args...)
			given[i+1] = "--signal=" + name
			return given
		}
	}
	return args
}
