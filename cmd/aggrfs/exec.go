package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/nsexec"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/fusefs"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

func (a *app) execCommand() *cobra.Command {
	src := source{Env: &a.env}
	var prefetched bool
	var cpu cpuFlag
	cmd := &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARG...]",
		Short: "Run a command that sees the processes of the cluster",
		Long: `Run COMMAND with the merged tree as its /proc, in a mount namespace of its own;
the /proc of everybody else stays what it is.

The exit status is that of COMMAND, or 125, 126 or 127 if it could not be run, as with
env(1). Nodes whose processes are missing or old are named on standard error, before COMMAND
starts and once more after it has ended: programs such as pgrep print nothing where /proc
shows nothing, and cannot say why. With --strict the exit status is then 120.

Where the helper aggrfs-ns is installed, COMMAND shows a user the owner of every process.
Elsewhere it runs in a user namespace of the user's own, in which the processes of all
others belong to nobody. Root needs no helper.`,
		Example: "  aggrfs exec -- ps -ef\n  aggrfs exec --nodes 'n[001-032]' -- top",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("exec needs a command: aggrfs exec -- ps -ef")
			}
			code, err := a.exec(cmd.Context(), &src, prefetched, cpu.choose(args, prefetched), args)
			a.exitCode = code
			return err
		},
	}
	cmd.Flags().SetInterspersed(false)
	sourceFlags(cmd, &src)
	strictFlag(cmd, &src, "end with status 120 if processes of any node were missing or old, before or while COMMAND ran")
	addPrefetchedFlag(cmd, &prefetched)
	cpu.add(cmd)
	return a.withLogLevel(cmd, "error")
}

// exec returns the exit status; with an error it is that of a command that could
// not be run. The command and who answers it stay on those CPUs, if not nil.
func (a *app) exec(ctx context.Context, src *source, prefetched bool, cpus *unix.CPUSet, argv []string) (int, error) {
	aside := nsexec.Aside()
	tree, err := src.Open(ctx, aside)
	if err != nil {
		return nsexec.CodeFailed, err
	}
	defer func() { tree.Close() }()
	lacking, nodes, err := a.tellNow(ctx, tree)
	if err != nil {
		return nsexec.CodeFailed, err
	}
	a.env.TellSingly(tree)
	tree, offset := a.aheadOf(ctx, tree, nodes)
	before := lookOf(tree, lacking, nodes)
	dev, err := fusefs.OpenDevice()
	if err != nil {
		return nsexec.CodeFailed, err
	}
	defer dev.Close()
	cfg, err := a.fuseConfig(tree, prefetched)
	if err != nil {
		return nsexec.CodeFailed, err
	}
	cfg.CPUs = cpus
	var server *fusefs.Server
	defer func() {
		if server != nil {
			server.Close()
		}
	}()
	code, err := nsexec.Run(ctx, nsexec.Spec{
		Argv:   argv,
		CPUs:   cpus,
		Device: dev,
		Mount: func(fd int) nsexec.Mount {
			fstype, flags, data := fusefs.MountOptions(fd, cfg)
			return nsexec.Mount{Source: "aggrfs", FSType: fstype, Flags: flags, Data: data}
		},
		Serve: func() error {
			server, err = fusefs.Serve(dev, cfg)
			return err
		},
		Aside: aside, BootOffset: offset, Log: a.env.Log,
	})
	if err != nil {
		return code, err // the command has not run
	}
	whole := a.tellSince(ctx, tree, before, filepath.Base(argv[0])) && lacking.none()
	if src.Strict && !whole {
		return exit.Lacking, nil
	}
	return code, nil
}

// fuseConfig is how the tree is mounted: for the calling user alone; prefetched is
// whether it has only what sweeps bring.
func (a *app) fuseConfig(t *tree, prefetched bool) (fusefs.Config, error) {
	owner, err := client.Self()
	cfg := fusefs.Config{
		Attach: func(ctx context.Context, _ vfs.Identity) (vfs.Node, error) { return t.Root(ctx) },
		Owner:  owner, Log: a.env.Log,
		Deadline: max(fusefs.DefaultDeadline, t.Patience+time.Second),
	}
	if prefetched {
		cfg.Prefetched = &fusefs.Prefetched{Interval: prefetchedInterval, Generation: t.Generation}
		cfg.Attach = func(ctx context.Context, _ vfs.Identity) (vfs.Node, error) {
			root, err := t.Root(ctx)
			if err != nil {
				return nil, err
			}
			return aggregate.Prefetched(root, cachepolicy.Sweep(prefetchedInterval).Prefetch()), nil
		}
	}
	return cfg, err
}

// prefetchedInterval is how often a tree of what sweeps bring is made right while it is
// used. A server's tables are good for as long as its policy says, which is asked.
const prefetchedInterval = time.Second

// addPrefetchedFlag adds --prefetched.
func addPrefetchedFlag(cmd *cobra.Command, prefetched *bool) {
	cmd.Flags().BoolVar(prefetched, "prefetched", false, "of each process only the files that ps and top read, at the speed of the page cache; no other file exists")
}
