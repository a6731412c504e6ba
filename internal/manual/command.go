package manual

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Commands makes a page of a program and of each of its commands, of what their help says.
// Those that are services, by their full name ("aggrfs serve"), are in section 8, all others
// in section 1. Each refers to the pages of its parent and its own commands, and that of the
// program to also.
func Commands(root *cobra.Command, also []Page, services ...string) []Page {
	var pages []Page
	var add func(cmd *cobra.Command)
	add = func(cmd *cobra.Command) {
		cmd.InitDefaultHelpFlag()
		cmd.InitDefaultVersionFlag()
		p := commandPage(cmd, services)
		var see []string
		if cmd.HasParent() {
			see = append(see, reference(commandPage(cmd.Parent(), services)))
		} else {
			for _, other := range also {
				see = append(see, reference(other))
			}
		}
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				see = append(see, reference(commandPage(sub, services)))
			}
		}
		p.Body = commandBody(cmd)
		if len(see) > 0 {
			p.Body += "## SEE ALSO\n\n" + strings.Join(see, ", ") + "\n"
		}
		pages = append(pages, p)
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				add(sub)
			}
		}
	}
	add(root)
	return pages
}

// commandPage is a command's page, but for its body.
func commandPage(cmd *cobra.Command, services []string) Page {
	p := Page{Name: strings.ReplaceAll(cmd.CommandPath(), " ", "-"), Section: 1, Summary: lowerFirst(cmd.Short)}
	if slices.Contains(services, cmd.CommandPath()) {
		p.Section = 8
	}
	return p
}

func reference(p Page) string { return fmt.Sprintf("**%s**(%d)", escape(p.Name), p.Section) }

// commandBody is what a command's help says.
func commandBody(cmd *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## SYNOPSIS\n\n**%s**\n\n## DESCRIPTION\n\n", escape(cmd.UseLine()))
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		fmt.Fprintf(&b, "%s\n\n", escape(strings.Join(strings.Fields(paragraph), " ")))
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("## COMMANDS\n\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&b, "**%s**\n: %s\n\n", escape(sub.Name()), escape(sub.Short))
			}
		}
	}
	if cmd.HasAvailableFlags() {
		b.WriteString("## OPTIONS\n\n")
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && f.Deprecated == "" {
				b.WriteString(flagText(f))
			}
		})
	}
	if cmd.Example != "" {
		b.WriteString("## EXAMPLES\n\n")
		for line := range strings.Lines(cmd.Example) {
			fmt.Fprintf(&b, "    %s\n", strings.TrimSpace(line))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// flagText is an entry of the list of flags.
func flagText(f *pflag.Flag) string {
	value, usage := pflag.UnquoteUsage(f)
	text := "**--" + escape(f.Name) + "**"
	if f.Shorthand != "" {
		text = "**-" + escape(f.Shorthand) + "**, " + text
	}
	if value != "" {
		text += "=*" + escape(value) + "*"
	}
	switch f.DefValue {
	case "", "0", "false", "[]":
	default:
		usage += " (default " + strings.Trim(f.DefValue, "[]") + ")"
	}
	return fmt.Sprintf("%s\n: %s\n\n", text, escape(usage))
}

// lowerFirst is a summary as man pages have it, which is no sentence. A word in capitals stays.
func lowerFirst(text string) string {
	if len(text) > 1 && strings.ToLower(text[1:2]) == text[1:2] {
		return strings.ToLower(text[:1]) + text[1:]
	}
	return text
}

// escape is plain text in Markdown.
func escape(text string) string {
	var b strings.Builder
	for _, c := range text {
		if strings.ContainsRune("\\`*_{}[]()#+-.!:|&<>~^", c) {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}
