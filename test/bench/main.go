// Command bench prints the project's figures, one line each:
//
//	NAME ours=... against=... ratio=...
//
// Each compares what is measured with a peer or a limit in the same run; the
// machine's own speed cancels out in the ratio. Arguments name groups of them: rights,
// views, cache, ps, server, fair, calls.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// limit bounds the whole run.
const limit = time.Hour

// size is how many processes the remote leaf has in ps and server, and how often each figure
// is measured there.
type size struct{ procs, rounds int }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if len(os.Args) > 1 && os.Args[1] == "read" { // what runs on a mount
		if err := readAsPS(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "read:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "greedy" { // what runs beside others
		if err := beGreedy(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "greedy:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "call" { // what runs below exec
		if err := makeCalls(); err != nil {
			fmt.Fprintln(os.Stderr, "call:", err)
			os.Exit(1)
		}
		return
	}
	var of size
	flag.IntVar(&of.procs, "procs", 5000, "processes of the remote leaf")
	flag.IntVar(&of.rounds, "rounds", 5, "how often each figure with ps is measured")
	flag.Parse()
	if err := run(ctx, of, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, of size, wanted []string) error {
	if of.procs < 10 || of.rounds < 1 {
		return fmt.Errorf("%d processes, %d rounds: want 10 and 1 at least", of.procs, of.rounds)
	}
	groups := map[string]func(context.Context) error{
		"rights": rights, "views": views, "cache": cacheFigures,
		"ps":      func(ctx context.Context) error { return psMount(ctx, of) },
		"server":  func(ctx context.Context) error { return withServer(ctx, of, (*leaf).serverFigures) },
		"readers": func(ctx context.Context) error { return readerFigures(ctx, of) },
		"fair":    func(ctx context.Context) error { return withServer(ctx, of, (*leaf).fairFigure) },
		"calls":   func(ctx context.Context) error { return callsFigures(ctx, of) },
	}
	if len(wanted) == 0 {
		wanted = []string{"rights", "views", "cache", "ps", "server", "readers", "fair", "calls"}
	}
	for _, name := range wanted {
		group := groups[name]
		if group == nil {
			return fmt.Errorf("no figures are called %q: rights, views, cache, ps, server, readers, fair or calls", name)
		}
		if err := group(ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
