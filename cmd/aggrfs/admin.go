package main

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/internal/app/admin"
	"github.com/aggrfs/aggrfs/internal/app/daemon"
	"github.com/aggrfs/aggrfs/internal/app/doctor"
	"github.com/aggrfs/aggrfs/internal/app/exit"
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
	cmd.AddCommand(a.certsInitCommand(), a.certsIssueCommand(), a.certsStatusCommand(), a.certsRenewCommand())
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
	caFlag(cmd, &dir)
	cmd.Flags().IntVar(&days, "days", certs.DefaultDays, "how many `DAYS` the certificates are valid")
	return a.withLogLevel(cmd, "error")
}

func (a *app) certsStatusCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show when the certificates end that a CA has issued",
		Long: `Show when the CA in a directory ends, and the certificates that are there: those that end on
the same day in one line. The exit status is 1 if any has ended or ends within 30 days. What
servers have in use is shown by aggrfs status.`,
		Example: "  aggrfs certs status --dir /etc/aggrfs/ca",
		Args:    noArguments("--dir"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return admin.StatusCerts(cmd.OutOrStdout(), dir) },
	}
	caFlag(cmd, &dir)
	return a.withLogLevel(cmd, "error")
}

func (a *app) certsRenewCommand() *cobra.Command {
	var dir string
	var days, within int
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "Renew the certificates that end soon",
		Long: `Make a new certificate and key for each name in the CA's directory whose certificate has
ended or ends soon. Each is good for --days, or up to a tenth less, so that those that are
renewed together do not end together. Copy them to their machines: running programs notice
new files.`,
		Example: "  aggrfs certs renew --dir /etc/aggrfs/ca",
		Args:    noArguments("--dir"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return admin.RenewCerts(cmd.OutOrStdout(), dir, within, days)
		},
	}
	caFlag(cmd, &dir)
	cmd.Flags().IntVar(&days, "days", certs.DefaultDays, "how many `DAYS` the certificates are valid at most")
	cmd.Flags().IntVar(&within, "within", int(certs.Soon/(24*time.Hour)), "renew those that end within so many `DAYS`")
	return a.withLogLevel(cmd, "error")
}

// caFlag adds --dir.
func caFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", ".", "the `DIR` of the CA; the certificates are written there as well")
}

func (a *app) doctorCommand() *cobra.Command {
	var asJSON bool
	o := doctor.Options{Version: a.env.Version}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what keeps aggrfs or procsrv from working on this machine",
		Long: `Look at this machine, head or node, for what keeps aggrfs or procsrv from working on it: FUSE,
user namespaces, /proc, capabilities, the clock, security modules, limits, certificates and
addresses. Each line says what is wrong and what helps; docs/operations.md has them. Nothing is
changed, and no server is needed. On the head node it looks at what the configuration names; on
a node, give the files and addresses that its procsrv is given.

The exit status is 0 if nothing is wrong, 1 if something is, 2 for a wrong command line, and 3
if this user may not see all of it.`,
		Example: "  aggrfs doctor\n  aggrfs doctor --listen tls:0.0.0.0:5640 --tls-cert /etc/aggrfs/tls/n001.crt --tls-key /etc/aggrfs/tls/n001.key --tls-ca /etc/aggrfs/tls/ca.crt --name n001",
		Args:    noArguments(""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := os.Lstat(a.env.InstalledConfig); o.Config == "" && !errors.Is(err, fs.ErrNotExist) {
				o.Config = a.env.InstalledConfig
			}
			return exit.NotKnown(doctor.Run(cmd.OutOrStdout(), o, asJSON))
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Config, "config", "", "the configuration `FILE` of a head node (default "+a.env.InstalledConfig+" if it is there)")
	f.StringVar(&o.TLS.Cert, "tls-cert", "", "a node's certificate, a PEM `FILE`")
	f.StringVar(&o.TLS.Key, "tls-key", "", "the certificate's private key, a PEM `FILE`")
	f.StringVar(&o.TLS.CA, "tls-ca", "", "the CA of the head's certificate, a PEM `FILE`")
	f.StringVar(&o.Name, "name", "", "the node's `NAME` in the configuration of the head, for which the certificate must be")
	f.StringArrayVar(&o.Listen, "listen", nil, "an address that a server of this machine listens on, `ADDR`; repeatable")
	jsonFlag(cmd, &asJSON)
	return a.withLogLevel(cmd, "error")
}

func (a *app) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Check, show and explain the cache policy: what is cached, and for how long",
		Long: `The cache policy says, file by file, what may be cached of the nodes' /proc, and for
how long. These commands need no running server; explain asks it what
it holds, if there is one.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.policyCheckCommand(), a.policyShowCommand(), a.policyExplainCommand())
	return cmd
}

func (a *app) policyCheckCommand() *cobra.Command {
	return a.withLogLevel(&cobra.Command{
		Use:   "check FILE",
		Short: "Show all mistakes in a cache policy, with their lines",
		Long: `Read a cache policy as a server would. All mistakes are shown at once, each with its
line and a caret under the place, and the exit status is then 1. Warnings, of what is
allowed but probably not meant, are shown too and do not change the exit status.`,
		Example: "  aggrfs policy check /etc/aggrfs/cachepolicy.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return admin.CheckPolicy(cmd.OutOrStdout(), args[0])
		},
	}, "error")
}

func (a *app) policyShowCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the cache policy",
		Long: `Print the built-in cache policy, which is used where the configuration names no other,
or the one in --policy. What is printed is a file to start your own from.`,
		Example: "  aggrfs policy show > cachepolicy.yaml",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return admin.ShowPolicy(cmd.OutOrStdout(), file) },
	}
	policyFlag(cmd, &file)
	return a.withLogLevel(cmd, "error")
}

func policyFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "policy", "", "the cache policy in this `FILE` instead of the built-in one")
}

func (a *app) policyExplainCommand() *cobra.Command {
	var file, node string
	src := source{Env: &a.env}
	cmd := &cobra.Command{
		Use:   "explain PATH",
		Short: "Show which rule applies to a file, why, and what follows",
		Long: `Show which rule of the cache policy applies to a file, why, and what happens when the
file is read. PATH is relative to a node's /proc; <pid> and <tid> stand for any
process or thread.

The policy is the one in --policy; without that it is the running server's, which is
explained only to those who see everything, together with what is cached of the file:
its age, its size and how often it was given out. Without a server it is the built-in
policy.`,
		Example: "  aggrfs policy explain '<pid>/environ'\n  aggrfs policy explain --node n12 meminfo",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return admin.ExplainPolicy(cmd.Context(), &src, cmd.OutOrStdout(), file, node, args[0])
		},
	}
	policyFlag(cmd, &file)
	cmd.Flags().StringVar(&src.Server, "server", "", "`ADDRESS` of the aggrfs serve to ask (default "+a.env.DefaultServer+", if there is one)")
	cmd.MarkFlagsMutuallyExclusive("server", "policy")
	cmd.Flags().StringVar(&node, "node", "", "the `NODE` that the file is on: a rule may be for some nodes only")
	return a.withLogLevel(cmd, "error")
}

func (a *app) serveCommand() *cobra.Command {
	var path string
	var check, connect bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Connect to the nodes and serve the merged tree over 9P",
		Long: `Connect to all nodes of the configuration, merge their processes into one tree, and serve
it over 9P until SIGTERM or SIGINT. Without --config the tree has this machine alone, and
is served at ` + a.env.DefaultServer + `.

A change of the configuration takes effect while the server runs where it is about who sees
what or about the cache policy; all other changes need a restart, which the log then says.

With --check nothing is served: the configuration is read as at a start, with the files that
it names, and what is wrong with it is said, with exit status 1, or what is doubtful about it.
That needs no more rights than to read those files.`,
		Example: "  aggrfs serve --config /etc/aggrfs/aggrfs.yaml\n  aggrfs serve --config /etc/aggrfs/aggrfs.yaml --check --connect",
		Args:    noArguments("--config"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := daemon.Options{Version: a.env.Version, Users: a.env.Users, Confine: a.confine, Log: a.env.Log}
			switch {
			case connect && !check:
				return exit.Usagef("--connect goes with --check: a server connects anyway")
			case check && path == "":
				path = a.env.InstalledConfig
			}
			if check {
				return daemon.Check(cmd.Context(), path, connect, o, cmd.OutOrStdout())
			}
			return daemon.Run(cmd.Context(), path, o)
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "configuration `FILE` (YAML)")
	cmd.Flags().BoolVar(&check, "check", false, "check the configuration, "+a.env.InstalledConfig+" without --config, and serve nothing")
	cmd.Flags().BoolVar(&connect, "connect", false, "with --check: connect to each node once, too")
	return a.withLogLevel(cmd, "info")
}
