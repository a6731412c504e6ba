package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
)

type source = client.Source

// sourceFlags add the flags that say where a command gets the tree from, and which part of it.
func sourceFlags(cmd *cobra.Command, s *source) {
	f := cmd.Flags()
	f.StringVar(&s.Server, "server", "", "`ADDRESS` of the aggrfs serve to ask (default $"+client.ServerVariable+", or else "+s.DefaultServer+")")
	f.StringVar(&s.Config, "config", "", "connect to the nodes of this configuration `FILE`, without a server")
	f.BoolVar(&s.Local, "local", false, "show this machine alone, without a server")
	f.StringVar(&s.As, "as", "", "show what this `USER` sees (for root)")
	f.StringArrayVar(&s.Nodes, "nodes", nil, "show only these nodes, a `NODESET` such as 'n[001-032,40]'; several add up")
	f.StringArrayVarP(&s.Exclude, "exclude", "x", nil, "leave out these nodes, a `NODESET`; several add up")
	cmd.MarkFlagsMutuallyExclusive("server", "config", "local")
}

// strictFlag adds --strict.
func strictFlag(cmd *cobra.Command, s *source, what string) {
	cmd.Flags().BoolVar(&s.Strict, "strict", false, what)
}

// tlsFlags are for the commands that can ask a server on another machine.
func tlsFlags(cmd *cobra.Command, s *source) {
	f := cmd.Flags()
	f.StringVar(&s.TLS.Cert, "tls-cert", "", "your certificate for --server tls:HOST:PORT, a PEM `FILE`")
	f.StringVar(&s.TLS.Key, "tls-key", "", "the certificate's private key, a PEM `FILE`")
	f.StringVar(&s.TLS.CA, "tls-ca", "", "the CA of the server's certificate, a PEM `FILE`")
	f.StringVar(&s.ServerName, "server-name", "", "the `NAME` in the server's certificate (default the host of its address)")
}

// noArguments is for a command that takes none. What is given may be meant for a flag;
// "" is for none.
func noArguments(flag string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return nil
		case flag != "":
			return exit.Usagef("%s takes no arguments; did you mean %s %s?", cmd.Name(), flag, strings.Join(args, ","))
		}
		return exit.Usagef("%s takes no arguments, and there is %q", cmd.Name(), args[0])
	}
}

// oneArgument is for a command that needs one, described by what.
func oneArgument(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 1:
			return nil
		case 0:
			return exit.Usagef("%s needs %s", cmd.Name(), what)
		}
		return exit.Usagef("%s needs %s, and there are %d: %s", cmd.Name(), what, len(args), strings.Join(args, " "))
	}
}

// exclusiveFlags says which flags that exclude each other were given, as cobra was told by
// MarkFlagsMutuallyExclusive.
func exclusiveFlags(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		for _, group := range f.Annotations["cobra_annotation_mutually_exclusive"] {
			names := strings.Fields(group)
			given := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !cmd.Flags().Changed(name) })
			if last := len(names) - 1; len(given) > 1 {
				err = exit.Usagef("--%s and --%s exclude each other", strings.Join(names[:last], ", --"), names[last])
			}
		}
	})
	return err
}
