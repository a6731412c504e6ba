package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/figures"
	"github.com/aggrfs/aggrfs/test/requester"
	"github.com/aggrfs/aggrfs/test/wait"
)

// readerCommands are programs that read files of all processes, or of all threads, as a shell runs
// them. Some of them fail where they find nothing.
var readerCommands = []struct{ name, script string }{
	{"ps-eLf", "ps -eLf"},
	{"pstree", "pstree -p 0"},
	{"pgrep-ns", "pgrep --ns 1"},
	{"ss", "ss -xlp"},
	{"fuser", "fuser /etc/passwd"},
	{"lsof", "lsof -p 1"},
}

// readerFigures print what such programs take by exec on a head and three real nodes, the whole
// command, against the sum of what they take on each of these.
func readerFigures(ctx context.Context, of size) (err error) {
	c, err := cluster.Start(ctx, cluster.Options{Nodes: 3, ProcsrvPath: "bin/procsrv"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	address := "unix:" + filepath.Join(c.Dir, "aggrfs.sock")
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\nlisten: [%q]\nstate: %q\nhead: head\nnodes:\n", address, filepath.Join(c.Dir, "gpids.json"))
	for _, n := range c.Nodes {
		fmt.Fprintf(&b, "  - {nodes: %s, address: %q}\n", n.Name, n.Address)
	}
	config := filepath.Join(c.Dir, "aggrfs.yaml")
	if err := os.WriteFile(config, []byte(b.String()), 0o600); err != nil {
		return err
	}
	server := requester.Bounded(ctx, "bin/aggrfs", "serve", "--config", config)
	var log bytes.Buffer
	server.Stderr = &log
	if err := server.Start(); err != nil {
		return err
	}
	defer func() {
		server.Process.Signal(syscall.SIGTERM)
		if ended := server.Wait(); ended != nil {
			err = errors.Join(err, fmt.Errorf("aggrfs serve: %w\n%s", ended, log.String()))
		}
	}()
	if err := wait.Poll(ctx, func() error {
		out, err := requester.Bounded(ctx, "bin/aggrfs", "nodes", "--server", address).Output()
		if err == nil && strings.Count(string(out), " up ") < len(c.Nodes)+1 {
			err = errors.New("not all nodes are up")
		}
		return err
	}); err != nil {
		return err
	}
	for _, tool := range readerCommands {
		script := tool.script + " >/dev/null 2>&1; [ $? -le 1 ]"
		ours := func(ctx context.Context) *exec.Cmd {
			return requester.Bounded(ctx, "bin/aggrfs", "exec", "--server", address, "--", "sh", "-c", script)
		}
		if tool.name == "ps-eLf" { // which runs in a mount of its own kind by its name
			ours = func(ctx context.Context) *exec.Cmd {
				return requester.Bounded(ctx, append([]string{"bin/aggrfs", "exec", "--server", address, "--"}, strings.Fields(tool.script)...)...)
			}
		}
		native := []func(context.Context) *exec.Cmd{func(ctx context.Context) *exec.Cmd { return requester.Bounded(ctx, "sh", "-c", script) }}
		for _, n := range c.Nodes {
			native = append(native, func(ctx context.Context) *exec.Cmd { return n.Command(ctx, "sh", "-c", script) })
		}
		var mine, theirs []time.Duration
		for range of.rounds {
			took, err := timeAll(ctx, ours)
			if err != nil {
				return fmt.Errorf("reader-%s: %w", tool.name, err)
			}
			mine = append(mine, took)
			if took, err = timeAll(ctx, native...); err != nil {
				return fmt.Errorf("reader-%s on the nodes: %w", tool.name, err)
			}
			theirs = append(theirs, took)
		}
		figures.Print("reader-"+tool.name, figures.Median(mine), figures.Median(theirs))
	}
	return nil
}

// timeAll is what commands take, one after the other.
func timeAll(ctx context.Context, commands ...func(context.Context) *exec.Cmd) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	for _, command := range commands {
		begun := time.Now()
		if err := quiet(ctx, command(ctx)); err != nil {
			return 0, err
		}
		took += time.Since(begun)
	}
	return took, nil
}
