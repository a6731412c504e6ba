package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/configs"
	"github.com/aggrfs/aggrfs/internal/nodeset"
	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
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
	cmd := &cobra.Command{
		Use:   "explain PATH",
		Short: "Say which rule is for a file, why, and what follows",
		Long: `Say which rule of the cache policy is for a file, why, and what happens when the
file is read. PATH is relative to a node's /proc; <pid> and <tid> stand for any
process or thread.`,
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
			if set, err := nodeset.Parse(node); node != "" && (err != nil || set.Len() != 1) {
				return errors.New("--node takes the name of one node")
			}
			e, err := p.Explain(node, args[0])
			if err != nil {
				return err
			}
			return printExplanation(cmd.OutOrStdout(), args[0], e)
		},
	}
	addPolicyFlag(cmd, &file)
	cmd.Flags().StringVar(&node, "node", "", "on which `NODE`: rules may be for some nodes alone")
	return a.withLogLevel(cmd, "error")
}

func printExplanation(out io.Writer, path string, e cachepolicy.Explanation) error {
	var b strings.Builder
	line := func(key, text string) { fmt.Fprintf(&b, "%-7s %s\n", key, plaintext.Escape(text)) }
	line("file", path)
	line("rule", ruleText(e.Rule))
	place := e.Policy.Name
	if !e.Rule.IsDefault() {
		place += fmt.Sprintf(":%d", e.Rule.Line)
	}
	line("place", place)
	line("why", e.Rule.Why)
	for i, effect := range e.Effect() {
		line([...]string{"effect", ""}[min(i, 1)], effect)
	}
	for _, r := range e.Elsewhere {
		line("but", fmt.Sprintf("on %s the rule of line %d comes first: %s", r.Nodes, r.Line, ruleText(r)))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// ruleText is a rule as a policy file has it, without the reason.
func ruleText(r *cachepolicy.Rule) string {
	text := fmt.Sprintf("{match: %q, cache: %s", r.Match, r.Cache)
	if r.Stale > 0 {
		text += ", stale: " + cachepolicy.FormatSpan(r.Stale)
	}
	if r.Negative > 0 {
		text += ", negative: " + cachepolicy.FormatSpan(r.Negative)
	}
	if r.Prefetch {
		text += ", prefetch: true"
	}
	if !r.Nodes.All() {
		text += fmt.Sprintf(", nodes: %q", r.Nodes)
	}
	return text + "}"
}
