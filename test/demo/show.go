package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/aggrfs/aggrfs/test/cluster"
)

// line is a command line for a shell, with the options that lead to the
// server behind the subcommand.
func (s *server) line(subcommand, rest string) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s --server unix:%s %s", s.aggrfs, subcommand, s.socket, rest))
}

// show runs the commands.
func (s *server) show(ctx context.Context) error {
	// Of bob's on n2, a program of its own with several threads. Only there is it
	// looked for: this machine, the head node, has the nodes' processes too.
	solver, err := s.output(ctx, s.line("exec", "--nodes n2 -- pgrep -f '[s]olver --user bob --node n2'"))
	if err != nil {
		return err
	}
	gpid := strings.TrimSpace(solver)
	for _, step := range []struct{ what, line string }{
		{"The nodes, of which the head node is this machine:", s.line("nodes", "")},
		{"All processes of the three nodes, by the unmodified ps:",
			s.line("exec", "--nodes 'n[1-3]' -- ps -eo pid,ppid,user,stat,lstart,cgroup,args --forest")},
		{"Everything, by the unmodified top (the nodes' processes run on this machine, so it shows them, too):", s.line("exec", "-- top -b -n1") + " | head -30"},
		{"What a process on another node runs, and its memory:", s.line("exec", "-- readlink /proc/"+gpid+"/exe")},
		{"", s.line("exec", "-- head -5 /proc/"+gpid+"/maps")},
		{"Where it is:", s.line("where", gpid)},
	} {
		if step.what != "" {
			fmt.Printf("\n# %s\n", step.what)
		}
		fmt.Println("$", step.line)
		cmd := shell(ctx, step.line)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", step.line, err)
		}
	}
	return nil
}

// output is what a command line prints.
func (s *server) output(ctx context.Context, line string) (string, error) {
	cmd := shell(ctx, line)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", line, err)
	}
	return string(out), nil
}

// shell is a command that runs a line, with room for wide tables.
func shell(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Env = append(os.Environ(), "COLUMNS=160", "LC_ALL=C.UTF-8")
	return cmd
}

// lookAround says how to go on by hand.
func (s *server) lookAround(nodes *cluster.Cluster) {
	fmt.Printf(`
It is all left up. In another shell, as root:

  %s
  %s
  %s
  mkdir -p /tmp/global && %s
  umount /tmp/global
  nsenter --target %d --mount --uts --pid --time ps -ef    # node %s as it sees itself

The configuration is %s.
Interrupt this (^C) to take everything down.
`,
		s.line("exec", "-- bash"), s.line("exec", "-- top"), s.line("nodes", ""), s.line("mount", "/tmp/global &"),
		nodes.Nodes[0].InitPID, nodes.Nodes[0].Name, filepath.Join(nodes.Dir, "aggrfs.yaml"))
}
