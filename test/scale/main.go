// Command scale prints how a front end and a leaf do with many processes, one line a
// figure:
//
//	NAME ours=... against=... ratio=...
//
// The nodes are simulated, in a second process of the same machine, but for the leaf's
// cost, which is measured on a real one. Arguments name groups of figures: sweep, growth,
// faults, leaf; none is all of them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// limit bounds the whole run.
const limit = 30 * time.Minute

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

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "nodes": // the second process
			return serveNodes(ctx, args[1:])
		case "bare":
			return bareLoop(ctx)
		}
	}
	groups := map[string]func(context.Context) error{"sweep": sweepFigures, "growth": growth, "faults": faults, "leaf": leafCost}
	if len(args) == 0 {
		args = []string{"sweep", "growth", "faults", "leaf"}
	}
	for _, name := range args {
		group := groups[name]
		if group == nil {
			return fmt.Errorf("no figures are called %q: sweep, growth, faults or leaf", name)
		}
		if err := group(ctx); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", name, err))
		}
	}
	return nil
}
