// Command scale prints how a front end and a leaf do with many processes, one line a
// figure:
//
//	NAME ours=... against=... ratio=...
//
// The nodes are simulated, in a second process of the same machine, but for the leaf's
// cost, which is measured on a real one. Arguments name groups of figures: sweep, growth,
// faults, leaf, rows, global, sampler; none is all of them. A group in which something is missing or
// takes too long is not the end of the others, but the exit status is then 1.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// limit bounds the whole run.
const limit = 90 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

// A group is a number of figures that are measured together.
type group struct {
	name    string
	measure func(context.Context, size) error
}

var groups = []group{
	{"sweep", sweepFigures}, {"growth", growth}, {"faults", faults}, {"leaf", leafCost},
	{"rows", rowsFigures}, {"global", globalFigures}, {"sampler", samplerFigures},
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "nodes": // the second process
			return serveNodes(args[1:])
		case "bare":
			return bareLoop()
		case "bare-figures":
			return bareFigures()
		}
	}
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	var of size
	flags.IntVar(&of.nodes, "nodes", sweepNodes, "how many nodes are simulated")
	flags.IntVar(&of.procs, "procs", sweepProcs, "processes of each")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := of.check(); err != nil {
		return err
	}
	wanted := groups
	if flags.NArg() > 0 {
		wanted = nil
	}
	for _, name := range flags.Args() {
		i := slices.IndexFunc(groups, func(g group) bool { return g.name == name })
		if i < 0 {
			var names []string
			for _, g := range groups {
				names = append(names, g.name)
			}
			return fmt.Errorf("no figures are called %q: there are %s", name, strings.Join(names, ", "))
		}
		wanted = append(wanted, groups[i])
	}
	var short shortfalls
	for _, g := range wanted {
		if err := g.measure(ctx, of); err != nil {
			short.add(fmt.Errorf("%s: %w", g.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return short.err()
}
