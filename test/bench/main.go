// Command bench prints the project's figures, one line each:
//
//	NAME ours=... against=... ratio=...
//
// Each compares what is measured with a peer or a limit in the same run; the
// machine's own speed cancels out in the ratio. Arguments name groups of them: rights,
// views, cache, ps.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	groups := map[string]func(context.Context) error{"rights": rights, "views": views, "cache": cacheFigures, "ps": psMount}
	wanted := os.Args[1:]
	if len(wanted) == 0 {
		wanted = []string{"rights", "views", "cache", "ps"}
	}
	for _, name := range wanted {
		group := groups[name]
		if group == nil {
			group = func(context.Context) error {
				return fmt.Errorf("no figures are called %q: rights, views, cache or ps", name)
			}
		}
		if err := group(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
	}
}
