package mount

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/app/gaps"
	"github.com/aggrfs/aggrfs/internal/nsexec"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/fusefs"
)

// ExecOptions are how Exec runs a command.
type ExecOptions struct {
	Prefetched bool // the tree has only what sweeps bring
	// OneCPU is whether the command and its tree share one CPU; nil is what suits the command.
	OneCPU *bool
	// NoControl leaves calls about processes of other machines to this kernel, which has none such.
	NoControl bool
	Wait      bool // what the command leaves in the background keeps the tree, and is waited for
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
	tree, offset := withOldestBoot(ctx, src.Env, tree, nodes)
	before := gaps.LookOf(nodes)
	inside := ""
	if !o.Prefetched {
		inside = nsexec.Inside
		tree = tree.Mounted(aside, inside)
	}
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
	cfg.Whole = !o.Prefetched && readsOnce[filepath.Base(argv[0])]
	var answers answerer
	defer func() {
		if answers != nil {
			answers.Close()
		}
	}()
	calls := &remoteCalls{src: src, tree: tree, shift: offset}
	defer calls.close()
	var listen func(listener, pid int, why error)
	if !o.NoControl {
		listen = calls.listen
	}
	code, err := nsexec.Run(ctx, nsexec.Spec{
		Argv:   argv,
		CPUs:   cpus,
		Device: dev,
		Mount: func(fd int) nsexec.Mount {
			fstype, flags, data := fusefs.MountOptions(fd, cfg)
			return nsexec.Mount{Source: "aggrfs", FSType: fstype, Flags: flags, Data: data}
		},
		Serve: func() error {
			answers, err = answer(ctx, src, tree, dev, cfg, aside, inside)
			return err
		},
		Listen: listen,
		Aside:  aside, Inside: inside, BootOffset: offset, Wait: o.Wait, Log: src.Log,
	})
	calls.close()
	if err != nil {
		return code, err // the command has not run
	}
	after := tree
	if tree.Origin == client.OfServer { // which ends connections that are not used
		if fresh, err := src.Connect(ctx); err == nil {
			defer fresh.Close()
			after = fresh
		}
	}
	whole := gaps.TellSince(ctx, src.Env, after, before, answers.Gone(), filepath.Base(argv[0])) && lacking.None()
	if src.Strict && !whole {
		return exit.Lacking, nil
	}
	return code, nil
}

// Boots that are believed: clocks that were never set, or wrongly, say others.
var firstBoot = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// sameBoot is how much earlier than this machine another may have booted
// without being older: the table has whole seconds.
const sameBoot = 2 * time.Second

// withOldestBoot returns the tree for a command that has a machine which booted as early
// as the oldest node, and how far its clock is to be ahead of this process': 0, and
// the same tree, where this machine is the oldest. nodes is cluster/nodes.
//
// A start time is a number of ticks since the reader's boot, and cannot be
// negative: see time_namespaces(7). Where there is no time namespace to be had, only the tree's
// own files say that the machine has been up for so long.
func withOldestBoot(ctx context.Context, env *client.Env, t *client.Tree, nodes []report.Node) (*client.Tree, time.Duration) {
	offset, kind := older(nodes, time.Now(), sinceBoot()), "timens"
	shift := offset > 0 && nsexec.CanShift()
	if offset > 0 && !shift {
		kind = "uptime"
	}
	// The daemon counts from the machine's boot, this process from its own.
	ahead := offset
	if t.Served() && kind == "timens" {
		ahead += nsexec.BootOffset()
	}
	if ahead == 0 {
		return t, 0
	}
	again := t.At(fmt.Sprintf("/%s/%d", kind, ahead/time.Second) + t.Path)
	if _, err := again.Root(ctx); err != nil {
		env.Log.Warn("start times before this machine's boot are wrong", "err", err)
		return t, 0
	}
	if kind == "uptime" {
		env.Tell("no time namespace is to be had here: in the tree this machine is as old as the oldest node, and a program that asks the kernel how old it is (ps of procps 4.0.5 or later) shows wrong elapsed times (docs/exec.md, Start times)")
		return again, 0
	}
	return again, offset
}

// older is how much earlier than this machine the oldest node of cluster/nodes has
// booted, in seconds rounded up. now and up are this machine's.
func older(nodes []report.Node, now time.Time, up time.Duration) time.Duration {
	boot := now.Add(-up)
	oldest := boot.Add(-sameBoot)
	for i := range nodes {
		if at := nodes[i].Booted; at.Before(oldest) && !at.Before(firstBoot) {
			oldest = at
		}
	}
	d := boot.Sub(oldest)
	if d <= sameBoot || d > nsexec.MaxBootOffset {
		return 0
	}
	return (d + time.Second - 1).Truncate(time.Second)
}

// sinceBoot is CLOCK_BOOTTIME.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
