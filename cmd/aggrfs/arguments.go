package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/internal/app/exit"
)

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

// exclusive are the flags of which only one can be given, by the groups of all commands.
var exclusive = [][]string{{"server", "config", "local"}, {"server", "policy"}, {"allow-other", "as"}}

// exclusiveFlags says which flags that exclude each other were given.
func exclusiveFlags(cmd *cobra.Command) error {
	for _, group := range exclusive {
		var all []string
		given := 0
		for _, name := range group {
			f := cmd.Flags().Lookup(name)
			if f == nil {
				break
			}
			all = append(all, "--"+name)
			if f.Changed {
				given++
			}
		}
		if given > 1 && len(all) == len(group) {
			last := len(all) - 1
			return exit.Usagef("%s and %s exclude each other", strings.Join(all[:last], ", "), all[last])
		}
	}
	return nil
}
