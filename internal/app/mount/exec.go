package mount

import (
	"context"
	"path/filepath"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/app/gaps"
	"github.com/aggrfs/aggrfs/internal/nsexec"
	"github.com/aggrfs/aggrfs/pkg/fusefs"
)

// ExecOptions are how Exec runs a command.
type ExecOptions struct {
	Prefetched bool // the tree has only what sweeps bring
	// OneCPU is whether the command and its tree share one CPU; nil is what suits the command.
	OneCPU *bool
}

// Exec runs a command with the tree as its /proc and returns the exit status; with an error it
// is that of a command that could not be run.
func Exec(ctx context.Context, src *client.Source, argv []string, o ExecOptions) (int, error) {
	cpus := o.cpus(argv)
	aside := nsexec.Aside()
	tree, err := src.Open(ctx, aside)
	if err != nil {
		return nsexec.CodeFailed, err
	}
	defer func() { tree.Close() }()
	lacking, nodes, err := gaps.TellNow(ctx, src.Env, tree)
	if err != nil {
		return nsexec.CodeFailed, err
	}
	src.TellSingly(tree)
	tree, offset := aheadOf(ctx, src.Log, tree, nodes)
	before := gaps.LookOf(tree, nodes)
	dev, err := fusefs.OpenDevice()
	if err != nil {
		return nsexec.CodeFailed, err
	}
	defer dev.Close()
	cfg, err := fuseConfig(src.Env, tree, o.Prefetched)
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
		Aside: aside, BootOffset: offset, Log: src.Log,
	})
	if err != nil {
		return code, err // the command has not run
	}
	whole := gaps.TellSince(ctx, src.Env, tree, before, filepath.Base(argv[0])) && lacking.None()
	if src.Strict && !whole {
		return exit.Lacking, nil
	}
	return code, nil
}
