package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/configs"
	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

func (a *app) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Check, show and explain the cache policy: what is kept, and for how long",
		Long: `The cache policy says file by file what may be kept of the nodes' /proc, and for
how long. These commands need no running server.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.policyCheckCommand(), a.policyShowCommand(), a.policyExplainCommand())
	return cmd
}

func (a *app) policyCheckCommand() *cobra.Command {
	return a.withLogLevel(&cobra.Command{
		Use:   "check FILE",
		Short: "Say what is wrong with a cache policy, all of it, and where",
		Long: `Read a cache policy as a server would. Each mistake is shown with its line and a
caret, all at once, and makes the exit status 1. What deserves a look but is no
mistake is shown too.`,
		Example: "  aggrfs policy check /etc/aggrfs/cachepolicy.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := cachepolicy.LoadOwn(args[0])
			if faults := cachepolicy.Faults(err); len(faults) > 0 {
				return fmt.Errorf("%d %s in the cache policy:\n%w", len(faults), plural(len(faults), "mistake"), err)
			}
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			for _, w := range p.Warnings() {
				fmt.Fprintln(out, w)
			}
			_, err = fmt.Fprintf(out, "%s: %d %s, no mistake; a sweep brings %s\n", args[0], len(p.Rules)-1, plural(len(p.Rules)-1, "rule"), sweepOf(p))
			return err
		},
	}, "error")
}

func plural(n int, one string) string {
	if n == 1 {
		return one
	}
	return one + "s"
}

func sweepOf(p *cachepolicy.Policy) string {
	if len(p.Prefetch()) == 0 {
		return "nothing along"
	}
	return strings.Join(p.Prefetch(), ", ")
}

func (a *app) policyShowCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Print the cache policy",
		Long:    "Print the cache policy that is in force where no other is given, or that of\n--policy, as a file to read or to start from.",
		Example: "  aggrfs policy show > cachepolicy.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text := configs.CachePolicy
			if file != "" {
				if _, err := cachepolicy.LoadOwn(file); err != nil {
					return err
				}
				var err error
				if text, err = os.ReadFile(file); err != nil {
					return err
				}
			}
			_, err := cmd.OutOrStdout().Write(text)
			return err
		},
	}
	addPolicyFlag(cmd, &file)
	return a.withLogLevel(cmd, "error")
}

func addPolicyFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "policy", "", "the cache policy in this `FILE`, and not the default one")
}

func (a *app) policyExplainCommand() *cobra.Command {
	var file, node string
	src := source{Env: &a.env}
	cmd := &cobra.Command{
		Use:   "explain PATH",
		Short: "Say which rule is for a file, why, and what follows",
		Long: `Say which rule of the cache policy is for a file, why, and what happens when the
file is read. PATH is relative to a node's /proc; <pid> and <tid> stand for any
process or thread. With a server running, to whom sees everything it is the server's
policy that is explained, and what is held of the file is told: its age, its size and how
often it was given out.`,
		Example: "  aggrfs policy explain '<pid>/environ'\n  aggrfs policy explain --node n12 meminfo",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p := cachepolicy.Default()
			if file != "" {
				var err error
				if p, err = cachepolicy.LoadOwn(file); err != nil {
					return err
				}
			}
			if set, err := nodeset.Parse(node); node != "" && (err != nil || set.Len() != 1 || !set.Contains(node)) {
				return exit.Usagef("--node takes the name of one node")
			}
			e, err := p.Explain(node, args[0])
			if err != nil {
				return err
			}
			text := e.Text(args[0])
			if file == "" && (src.Server != "" || a.env.HasCluster()) {
				running, err := a.explained(cmd.Context(), &src, node, args[0])
				switch {
				case err == nil:
					text = running
				case src.Server != "":
					return err
				default:
					a.env.Tell("what is explained is the default policy, not the server's: %v", err)
				}
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	addPolicyFlag(cmd, &file)
	cmd.Flags().StringVar(&src.Server, "server", "", "address of the aggrfs serve to ask (default "+a.env.DefaultServer+", if one is there)")
	cmd.MarkFlagsMutuallyExclusive("server", "policy")
	cmd.Flags().StringVar(&node, "node", "", "on which `NODE`: rules may be for some nodes alone")
	return a.withLogLevel(cmd, "error")
}

// explained is the explanation of a server that runs, if there is one.
func (a *app) explained(ctx context.Context, src *source, node, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, client.OpenTimeout)
	defer cancel()
	tree, err := src.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	text, err := tree.Read(ctx, "cluster", "explain", aggregate.ExplainName(node, path))
	if errors.Is(err, syscall.ENOENT) {
		err = fmt.Errorf("the server does not explain its policy to who does not see everything, nor for nodes that it does not have: %w", err)
	}
	return text, err
}
