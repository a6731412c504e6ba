package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/nsexec"
	"github.com/aggrfs/aggrfs/internal/privs"
	"github.com/aggrfs/aggrfs/internal/service"
	"github.com/aggrfs/aggrfs/internal/userdb"
)

// What the build may say otherwise (-X main.version=VERSION).
var (
	version = "unknown"
	// defaultServer is where aggrfs serve listens unless told otherwise.
	defaultServer = "unix:/run/aggrfs/aggrfs.sock"
	// installedConfig is the configuration that the service is started with.
	installedConfig = "/etc/aggrfs/aggrfs.yaml"
)

// app is the program and its command line.
type app struct {
	env      client.Env
	confine  func(*slog.Logger) error // gives up the rights that serve does not need; nil keeps them
	exitCode int                      // of exec
	started  bool                     // the command line was taken
}

// newApp is the program as it was built.
func newApp() *app {
	return &app{
		env: client.Env{
			Users: userdb.New(userdb.Config{}), Stderr: os.Stderr, Version: version, Server: os.Getenv(client.ServerVariable),
			DefaultServer: defaultServer, InstalledConfig: installedConfig, UIDMap: "/proc/self/uid_map",
		},
		confine: func(log *slog.Logger) error { return privs.Keep(log, privs.Leaf()) },
	}
}

// execute carries out the command line, says what is wrong, and returns the exit status.
func (a *app) execute(ctx context.Context, args []string, out io.Writer) int {
	root := a.command()
	root.SetArgs(signalArgument(args))
	root.SetOut(out)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return a.exitCode
	}
	if cmd.Name() == "serve" {
		fmt.Fprintln(a.env.Stderr, service.Complaint(a.env.Stderr, "aggrfs: "+err.Error()))
	} else {
		a.env.Tell("%v", err)
	}
	if a.exitCode != 0 {
		return a.exitCode
	}
	if cmd.Name() == "exec" {
		return nsexec.CodeFailed // whatever it was: the statuses below are the command's
	}
	if !a.started {
		return exit.Usage
	}
	return exit.Status(err)
}

func (a *app) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "aggrfs",
		Short: "One /proc for all nodes of a cluster",
		Long: `aggrfs shows the processes of many nodes, each of which runs procsrv, as one /proc, on
which unmodified programs such as ps and top work.

This /proc is called the merged tree. "aggrfs serve" makes it, on the head node, and serves
it to all users; each sees the nodes and processes that the configuration gives them, which
is their view. The other commands ask that server. A process has a global pid, or GPID, by
which the whole cluster knows it. NODESET stands for names of nodes as Slurm and ClusterShell
write them, such as 'n[001-032,40]'.`,
		Version:       a.env.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			text, err := cmd.Flags().GetString("log-level") // each command has its own default
			if err != nil {
				return nil // a command of cobra's
			}
			var level slog.Level
			if err := level.UnmarshalText([]byte(text)); err != nil {
				return fmt.Errorf("--log-level: %q is none of debug, info, warn, error", text)
			}
			a.env.Log = service.NewLogger(os.Stderr, level)
			return nil
		},
	}
	cmd.AddCommand(a.serveCommand(), a.execCommand(), a.mountCommand(), a.nodesCommand(), a.psCommand(), a.whereCommand(), a.whoamiCommand(), a.statusCommand(), a.doctorCommand(), killCommand(a), reniceCommand(a), a.certsCommand(), a.policyCommand())
	a.checkFlags(cmd)
	return cmd
}

// checkFlags has cmd and all below it refuse a flag with an empty value before they
// start: it comes from a variable that is not set, and what the flag would mean without
// a value (all nodes, all users, root) is not what was meant.
func (a *app) checkFlags(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		a.checkFlags(sub)
	}
	if cmd.PreRunE == nil { // cobra's own check, which says less, comes behind it
		cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return exclusiveFlags(cmd) }
	}
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if err := emptyFlag(cmd); err != nil {
				return err
			}
			a.started = true
			return run(cmd, args)
		}
	}
}

// emptyFlag says which flag was given an empty value, if one was. To exclude no node is
// no mistake.
func emptyFlag(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		if f.Name != "exclude" && f.Name != "nodes" && (len(values) == 0 || slices.ContainsFunc(values, isBlank)) {
			err = exit.Usagef("--%s has an empty value (an unset variable?); leave the flag out if nothing is meant", f.Name)
		}
	})
	return err
}

func isBlank(text string) bool { return strings.TrimSpace(text) == "" }

// withLogLevel adds --log-level: services log what happens, commands at a terminal
// only what goes wrong.
func (a *app) withLogLevel(cmd *cobra.Command, level string) *cobra.Command {
	cmd.Flags().String("log-level", level, "log messages from this `LEVEL` on: debug, info, warn or error")
	return cmd
}
