package main

import (
	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/internal/app/admin"
	"github.com/aggrfs/aggrfs/internal/certs"
)

func (a *app) certsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Make certificates for tls: addresses, for sites without a CA",
		Long: `Make a certificate authority (CA), and certificates signed by it for the nodes, front
ends and users that are to recognise each other over TLS. A site that has a CA does not
need this: a node's certificate must have the node's name as its DNS name, and be
valid for client and server authentication.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.certsInitCommand(), a.certsIssueCommand())
	return cmd
}

func (a *app) certsInitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Make a CA",
		Long: `Make a CA in DIR, valid for ten years: ca.crt, which every machine gets, and ca.key,
which stays here. A CA that is there already is left as it is.`,
		Example: "  aggrfs certs init /etc/aggrfs/ca",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return admin.InitCA(cmd.OutOrStdout(), args[0]) },
	}
	return a.withLogLevel(cmd, "error")
}

func (a *app) certsIssueCommand() *cobra.Command {
	var dir string
	var days int
	cmd := &cobra.Command{
		Use:   "issue NODESET",
		Short: "Make or renew certificates",
		Long: `Make a certificate and a key for each name of NODESET: the names of the nodes and of
the head node as in the configuration, or names of users. A certificate that is there
already is replaced by a new one. Running programs notice new files: renewing needs no
restart.`,
		Example: "  aggrfs certs issue --dir /etc/aggrfs/ca 'head,n[001-128]'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return admin.IssueCerts(cmd.OutOrStdout(), dir, args[0], days)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "the `DIR` of the CA; the certificates are written there as well")
	cmd.Flags().IntVar(&days, "days", certs.DefaultDays, "how many `DAYS` the certificates are valid")
	return a.withLogLevel(cmd, "error")
}
