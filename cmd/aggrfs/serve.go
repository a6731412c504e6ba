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
		Long: `Connect to all nodes of the configuration and serve the merged tree. Without
--config it is the head node alone, on ` + a.env.DefaultServer + `.`,
		Args: noArguments("--config"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return daemon.Run(cmd.Context(), path, daemon.Options{Version: a.env.Version, Users: a.env.Users, Confine: a.confine, Log: a.env.Log})
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "configuration file (YAML)")
	return a.withLogLevel(cmd, "info")
}
