package main

import (
	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/internal/app/daemon"
)

func (a *app) serveCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Connect to the nodes and serve the merged tree over 9P",
		Long: `Connect to all nodes of the configuration, merge their processes into one tree, and serve
it over 9P until SIGTERM or SIGINT. Without --config the tree has this machine alone, and
is served at ` + a.env.DefaultServer + `.

A change of the configuration takes effect while the server runs where it is about who sees
what or about the cache policy; all other changes need a restart, which the log then says.`,
		Args: noArguments("--config"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return daemon.Run(cmd.Context(), path, daemon.Options{Version: a.env.Version, Users: a.env.Users, Confine: a.confine, Log: a.env.Log})
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "configuration `FILE` (YAML)")
	return a.withLogLevel(cmd, "info")
}
