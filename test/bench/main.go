// Command bench prints the project's figures, one line each:
//
//	NAME ours=... against=... ratio=...
//
// Each compares what is measured with a peer or a limit in the same run; the
// machine's own speed cancels out in the ratio.
package main

import (
	"context"
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
	for _, figures := range []func(context.Context) error{rights, views, cacheFigures, psMount} {
		if err := figures(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
	}
}

// figure prints one line. The ratio is ours / against.
func figure(name string, ours, against time.Duration) {
	fmt.Printf("%s ours=%s against=%s ratio=%.2f\n", name, readable(ours), readable(against), ours.Seconds()/against.Seconds())
}

// readable is d in seconds, or in microseconds where it is less than a
// millisecond.
func readable(d time.Duration) string {
	if d < time.Millisecond {
		return fmt.Sprintf("%.1fµs", float64(d)/float64(time.Microsecond))
	}
	return fmt.Sprintf("%.3fs", d.Seconds())
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}
