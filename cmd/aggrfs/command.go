package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/internal/privs"
	"github.com/aggrfs/aggrfs/internal/userdb"
)

// app is what all subcommands share.
type app struct {
	log      *slog.Logger
	users    *userdb.DB
	confine  func(*slog.Logger) error // gives up the rights that serve does not need; nil keeps them
	exitCode int
}

// run carries out the command line and returns the exit status.
func run(args []string) int {
	a := &app{
		users:   userdb.New(userdb.Config{}),
		confine: func(log *slog.Logger) error { return privs.Keep(log, privs.Leaf()) },
	}
	cmd := a.command()
	cmd.SetArgs(args)
	// exec handles signals itself: they are the command's.
	ctx := context.Background()
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "aggrfs: "+err.Error())
		if a.exitCode == 0 {
			return 1
		}
	}
	return a.exitCode
}

func (a *app) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "aggrfs",
		Short: "One global /proc for a cluster",
		Long: `aggrfs merges the processes of many nodes, each exported by procsrv over 9P,
into one /proc that unmodified ps and top run on.`,
		Version:       version,
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
			a.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
			return nil
		},
	}
	cmd.AddCommand(a.serveCommand(), a.execCommand(), a.mountCommand(), a.nodesCommand(), a.psCommand(), a.whereCommand(), a.whoamiCommand(), a.certsCommand(), a.policyCommand())
	return cmd
}

// withLogLevel adds --log-level: services tell what happens, commands at a
// terminal only what goes wrong.
func (a *app) withLogLevel(cmd *cobra.Command, level string) *cobra.Command {
	cmd.Flags().String("log-level", level, "what to log: debug, info, warn or error")
	return cmd
}

// untilSignal returns a context that ends at SIGINT or SIGTERM.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
}

// requireRoot says early what would otherwise fail halfway.
func requireRoot(what string) error {
	if os.Geteuid() != 0 {
		return errors.New(what + " mounts, and so must be run as root")
	}
	return nil
}
