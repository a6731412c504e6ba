// Command sim brings up a cluster of simulated nodes and a front end to play with, until
// it is interrupted: "make sim NODES=2000 PROCS=200".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/nodeset"
	"github.com/aggrfs/aggrfs/test/procsim"
)

func main() {
	nodes := flag.Int("nodes", 2000, "how many nodes")
	procs := flag.Int("procs", 200, "processes of each")
	churn := flag.Float64("churn", 0.01, "share of the processes that change in a second")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *nodes, *procs, *churn); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, nodes, procs int, churn float64) (err error) {
	if nodes < 1 || nodes > 20000 || procs < 2 || procs > 50000 {
		return fmt.Errorf("%d nodes of %d processes: want 1 to 20000 nodes, and 2 to 50000 processes", nodes, procs)
	}
	dir, err := os.MkdirTemp("", "aggrfs-sim-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	set, err := nodeset.Parse(fmt.Sprintf("n[00001-%05d]", nodes))
	if err != nil {
		return err
	}
	c, err := procsim.Serve(dir, set.Names(), uint64(time.Now().UnixNano()), procs, 0)
	if err != nil {
		return fmt.Errorf("%w (each node takes two descriptors: ulimit -n)", err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	config, server := filepath.Join(dir, "aggrfs.yaml"), "unix:"+filepath.Join(dir, "aggrfs.sock")
	var text strings.Builder
	fmt.Fprintf(&text, "version: 1\nlisten: [%q]\nhead: head\nstate: %s/gpids.json\ngpids: paged\nnodes:\n", server, dir)
	for _, name := range set.Names() {
		fmt.Fprintf(&text, "  - {nodes: %s, address: %q}\n", name, c.Address(name))
	}
	if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
		return err
	}
	serve := exec.CommandContext(ctx, "bin/aggrfs", "serve", "--config", config, "--log-level", "warn")
	serve.Stdout, serve.Stderr = os.Stdout, os.Stderr
	serve.Cancel = func() error { return serve.Process.Signal(syscall.SIGTERM) }
	serve.WaitDelay = 10 * time.Second
	if err := serve.Start(); err != nil {
		return err
	}
	fmt.Printf(`%d nodes with %d processes each are up. In another terminal, here:

  bin/aggrfs ps --server %[3]s aux | less
  bin/aggrfs ps --server %[3]s --nodes 'n[00001-%05[4]d]' --sort -rss -ef
  bin/aggrfs nodes --server %[3]s
  bin/aggrfs exec --server %[3]s --nodes 'n[00001-%05[5]d]' -- top

Control-C ends them.
`, nodes, procs, server, min(nodes, 4), min(nodes, 20))
	c.Live(churn)
	if err := serve.Wait(); ctx.Err() == nil {
		return fmt.Errorf("aggrfs serve has ended: %w", err)
	}
	return nil
}
