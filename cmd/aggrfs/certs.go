package main

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/internal/certs"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// tlsDir is where the documentation puts a machine's files.
const tlsDir = "/etc/aggrfs/tls"

func (a *app) certsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Make certificates for tls: addresses, for sites without a CA",
		Long: `Make a certificate authority (CA) and certificates of it, for nodes, front ends
and users who are to know each other over TLS. A site that has a CA needs neither:
a node's certificate must have the node's name as DNS name, and be good for client
and server authentication.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.certsInitCommand(), a.certsIssueCommand())
	return cmd
}

func (a *app) certsInitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "init DIR",
		Short:   "Make a CA",
		Long:    "Make a CA in DIR, good for ten years: ca.crt, which every machine gets, and\nca.key, which stays here. A CA that is there already is left alone.",
		Example: "  aggrfs certs init /etc/aggrfs/ca",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return initCA(cmd.OutOrStdout(), args[0])
		},
	}
	return a.withLogLevel(cmd, "error")
}

func initCA(out io.Writer, dir string) error {
	ca, err := certs.Init(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, `Made a CA in %[1]s, good until %[2]s.
Whoever has %[3]s can pass for any node and any user: it stays here. Keep a copy
where nobody else gets at it.
Next, a certificate for each machine:  aggrfs certs issue --dir %[1]s HEAD,NODES
`, dir, ca.Until().Format(time.DateOnly), filepath.Join(dir, "ca.key"))
	return nil
}

func (a *app) certsIssueCommand() *cobra.Command {
	var dir string
	var days int
	cmd := &cobra.Command{
		Use:   "issue NODESET",
		Short: "Make or renew certificates",
		Long: `Make a certificate and a key for each name of NODESET: the names of nodes and of
the head node as in the configuration, or of users. Whoever has one already gets
another. The programs notice files that change: renewing takes no restart.`,
		Example: "  aggrfs certs issue --dir /etc/aggrfs/ca 'head,n[001-128]'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			names, err := nodeset.Parse(args[0])
			if err != nil {
				return err
			}
			return issueAll(cmd.OutOrStdout(), dir, names, days)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "the `DIR` of the CA, where the certificates go too")
	cmd.Flags().IntVar(&days, "days", certs.DefaultDays, "how long the certificates are good for")
	return a.withLogLevel(cmd, "error")
}

func issueAll(out io.Writer, dir string, names nodeset.Set, days int) error {
	ca, err := certs.OpenCA(dir)
	if err != nil {
		return err
	}
	var until time.Time
	done := make([]string, 0, names.Len())
	for name := range names.All() {
		if until, err = ca.Issue(name, days); err != nil {
			if len(done) > 0 {
				err = fmt.Errorf("%s: %w (done before it: %s)", name, err, nodeset.Of(done...))
			}
			return err
		}
		done = append(done, name)
	}
	fmt.Fprintf(out, `Issued in %[1]s, good until %[2]s: %[3]s
Copy to each machine NAME, into %[4]s: NAME.crt, NAME.key (mode 0600) and ca.crt.
A key that has been copied is of no more use here.
On a node:      procsrv --listen tls:0.0.0.0:5640 --tls-cert %[4]s/NAME.crt --tls-key %[4]s/NAME.key --tls-ca %[4]s/ca.crt --front-end HEAD
On the head:    tls: {cert: %[4]s/HEAD.crt, key: %[4]s/HEAD.key, ca: %[4]s/ca.crt}  in the configuration
`, dir, until.Format(time.DateOnly), names, tlsDir)
	return nil
}
