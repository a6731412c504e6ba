package main

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/common"
	"github.com/shirou/gopsutil/v4/process"

	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/fusefs"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// local is this machine's leaf as an upstream.
type local struct{ *procfs9p.Leaf }

func (local) Done() <-chan struct{} { return nil }
func (local) Err() error            { return nil }

// gopsutil with HOST_PROC on the tree tells what it tells of the machine.
func TestGopsutil(t *testing.T) {
	sleep := exec.Command("sleep", "1000")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sleep.Process.Kill(); sleep.Wait() })
	dial := func(context.Context) (aggregate.Upstream, error) {
		leaf, err := procfs9p.New(procfs9p.Config{Log: quiet})
		return local{leaf}, err
	}
	gpids, err := gpid.Open(t.TempDir()+"/state", gpid.Fixed, []gpid.NodeName{"n1"})
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := aggregate.New(aggregate.Config{
		Head:  aggregate.NodeConfig{Name: "head", Dial: dial},
		Nodes: []aggregate.NodeConfig{{Name: "n1", Dial: dial}}, GPIDs: gpids, Policy: cachepolicy.Sweep(time.Second), Log: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cluster.Close() })
	dir := t.TempDir()
	server, err := fusefs.Mount(dir, fusefs.Config{
		Attach: func(ctx context.Context, who vfs.Identity) (vfs.Node, error) { return cluster.Attach(ctx, who, "") }, Owner: vfs.Root, Log: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	here := context.WithValue(ctx, common.EnvKey, common.EnvMap{common.HostProcEnvKey: dir})
	tell := func(ctx context.Context, p *process.Process) (text string, began int64) {
		name, e1 := p.NameWithContext(ctx)
		args, e2 := p.CmdlineWithContext(ctx)
		exe, e3 := p.ExeWithContext(ctx)
		uids, e4 := p.UidsWithContext(ctx)
		threads, e5 := p.NumThreadsWithContext(ctx)
		memory, e6 := p.MemoryInfoWithContext(ctx)
		began, e7 := p.CreateTimeWithContext(ctx)
		cwd, e8 := p.CwdWithContext(ctx)
		if memory == nil {
			memory = &process.MemoryInfoStat{}
		}
		return fmt.Sprint(name, args, exe, uids, threads, memory.VMS, cwd, e1, e2, e3, e4, e5, e6, e7, e8), began
	}
	all, err := process.ProcessesWithContext(here)
	if err != nil {
		t.Fatal(err)
	}
	native, err := process.NewProcessWithContext(ctx, int32(sleep.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	want, wantBegan := tell(ctx, native)
	found := 0
	for _, p := range all {
		if n := int(p.Pid) % 10_000_000; n == sleep.Process.Pid {
			found++
			if got, began := tell(here, p); got != want || began > wantBegan+1000 || began < wantBegan-1000 {
				t.Errorf("%d: %s, began %d, natively %s, began %d", p.Pid, got, began, want, wantBegan)
			}
			if ppid, err := p.PpidWithContext(here); err != nil || int(ppid)/10_000_000 != int(p.Pid)/10_000_000 {
				t.Errorf("%d has the parent %d, %v", p.Pid, ppid, err)
			}
		}
	}
	if found != 2 {
		t.Errorf("%d times among %d", found, len(all))
	}
}
