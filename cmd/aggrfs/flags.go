package main

import (
	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/internal/app/client"
)

type source = client.Source

// sourceFlags add the flags that say where a command gets the tree from, and which part of it.
func sourceFlags(cmd *cobra.Command, s *source) {
	f := cmd.Flags()
	f.StringVar(&s.Server, "server", "", "`ADDRESS` of the aggrfs serve to ask (default "+s.DefaultServer+")")
	f.StringVar(&s.Config, "config", "", "connect to the nodes of this configuration `FILE`, without a server")
	f.BoolVar(&s.Local, "local", false, "show this machine alone, without a server")
	f.StringVar(&s.As, "as", "", "show what this `USER` sees (for root)")
	f.StringArrayVar(&s.Nodes, "nodes", nil, "show only these nodes, a `NODESET` such as 'n[001-032,40]'; several add up")
	f.StringArrayVarP(&s.Exclude, "exclude", "x", nil, "leave out these nodes, a `NODESET`; several add up")
	cmd.MarkFlagsMutuallyExclusive("server", "config", "local") // as exclusive has it
}

// strictFlag adds --strict.
func strictFlag(cmd *cobra.Command, s *source, what string) {
	cmd.Flags().BoolVar(&s.Strict, "strict", false, what)
}

// tlsFlags are for the commands that can ask a server on another machine: they show tables, in
// which no pid is taken for one of this machine.
func tlsFlags(cmd *cobra.Command, s *source) {
	f := cmd.Flags()
	f.StringVar(&s.TLS.Cert, "tls-cert", "", "your certificate for --server tls:HOST:PORT, a PEM `FILE`")
	f.StringVar(&s.TLS.Key, "tls-key", "", "the certificate's private key, a PEM `FILE`")
	f.StringVar(&s.TLS.CA, "tls-ca", "", "the CA of the server's certificate, a PEM `FILE`")
	f.StringVar(&s.ServerName, "server-name", "", "the `NAME` in the server's certificate (default the host of its address)")
}
