// Command peers prints the figures that compare the project with other programs
// and libraries. It is a module of its own, so that these are no dependencies of
// the project. The lines are those of test/bench.
//
//	peers                     the figures
//	peers soak                very many requests, and the memory of the server
//	peers serve WHAT SOCKET   another process of the above
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
	figures := []func(context.Context) error{together, apart, idle, crowd, cacheOtter}
	switch {
	case len(os.Args) == 4 && os.Args[1] == "serve":
		figures = []func(context.Context) error{func(ctx context.Context) error { return serve(ctx, os.Args[2], os.Args[3]) }}
	case len(os.Args) == 2 && os.Args[1] == "soak":
		figures = []func(context.Context) error{soak}
	}
	for _, f := range figures {
		if err := f(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "peers:", err)
			os.Exit(1)
		}
	}
}
