// Command bench prints the project's figures, one line each:
//
//	NAME ours=... against=... ratio=...
//
// Each compares what is measured with a peer or a limit in the same run; the
// machine's own speed cancels out in the ratio.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err := errors.Join(cacheFigures(ctx), psMount(ctx)); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// figure prints one line. The ratio is ours / against.
func figure(name string, ours, against time.Duration) {
	fmt.Printf("%s ours=%.3fs against=%.3fs ratio=%.2f\n", name, ours.Seconds(), against.Seconds(), ours.Seconds()/against.Seconds())
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}
