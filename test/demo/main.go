// Command demo shows what aggrfs does on three real nodes on this machine, see
// package cluster: it starts them and a server, runs some commands on the
// merged tree, each printed before its output, and takes everything down.
//
// It is run by "make run", as root, from the top of the source tree, where
// bin/aggrfs and bin/procsrv have been built. With KEEP=1 in its environment it
// leaves everything up until it is interrupted and says how to look around.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/aggrfs/aggrfs/test/cluster"
)

func main() {
	// What is started from this thread ends with it (PR_SET_PDEATHSIG).
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := demonstrate(ctx, os.Getenv("KEEP") != ""); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func demonstrate(ctx context.Context, keep bool) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("nodes need namespaces: run this as root")
	}
	aggrfs, err := filepath.Abs("bin/aggrfs")
	if err != nil {
		return err
	}
	if _, err := os.Stat(aggrfs); err != nil {
		return fmt.Errorf("build the programs first (make build): %w", err)
	}
	fmt.Println("Starting three nodes and a server on this machine.")
	nodes, err := cluster.Start(ctx, cluster.Options{Nodes: 3, ProcsrvPath: "bin/procsrv"})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, nodes.Close())
		if err == nil {
			fmt.Println("\nEverything is taken down: no process, mount or file is left.")
		}
	}()
	s, err := startServer(ctx, aggrfs, nodes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.show(ctx); err != nil {
		return err
	}
	if keep {
		s.lookAround(nodes)
		<-ctx.Done()
		fmt.Println()
	}
	return nil
}
