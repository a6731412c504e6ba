package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/test/figures"
	"github.com/aggrfs/aggrfs/test/requester"
)

const (
	globalRounds = 3
	// globalBar is how often native's time a process may take on the tree. A command that takes
	// globalPatience times that, and longer than globalLeast, is ended.
	globalBar      = 2.5
	globalPatience = 4
	globalLeast    = time.Minute
	// listingBytes is what a listing that ps goes through may hold in the server, a process.
	listingBytes = 600
	// memoryWithin is how soon the server's memory is what it was, and memorySlack by how much it
	// may differ: what is listed stays for a minute, and so do lines of cluster/ps.
	memoryWithin = 2 * time.Minute
	memorySlack  = 1.1
)

// globalFigures prints what ps and top take on the tree of all nodes through a server, against
// this machine's own /proc with 5,000 processes, a process; and whether each process is shown.
func globalFigures(ctx context.Context, of size) error {
	n, err := measureNative(ctx)
	if err != nil {
		return err
	}
	var short shortfalls
	short.add(psGlobal(ctx, of, n))
	if ctx.Err() == nil {
		short.add(topGlobal(ctx, of.smaller(), n))
	}
	return short.err()
}

// patience is how long a command may take that would take so long natively.
func patience(native time.Duration) time.Duration {
	return max(globalLeast, time.Duration(globalPatience*globalBar*float64(native)))
}

// global is a server whose nodes' processes change while ps and top are run on the tree.
type global struct {
	*served
	of     size
	native native
	file   string // for what a command prints
}

// startGlobal starts nodes that are frozen: their processes run on, and none ends or starts.
func startGlobal(ctx context.Context, of size, n native) (*global, error) {
	v, err := serve(ctx, of.nodes, of.procs)
	if err != nil {
		return nil, err
	}
	err = v.do("freeze")
	if err == nil {
		err = v.do("live %g", sweepChurn)
	}
	if err != nil {
		return nil, errors.Join(err, v.close())
	}
	return &global{served: v, of: of, native: n, file: filepath.Join(v.dir, "printed")}, nil
}

// psGlobal prints the figures of ps.
func psGlobal(ctx context.Context, of size, n native) (err error) {
	g, err := startGlobal(ctx, of, n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	all, err := g.places(ctx, of.all())
	if err != nil {
		return err
	}
	if err := g.frozen(ctx, all); err != nil {
		return fmt.Errorf("%w\nso ps-global-memory, -births and -user are not measured", err)
	}
	var short shortfalls
	for _, step := range []func(context.Context, places) error{g.memory, g.births, g.users} {
		short.add(step(ctx, all))
		if ctx.Err() != nil {
			break
		}
	}
	return short.err()
}

// list runs ps as who, and compares what it shows.
func (g *global) list(ctx context.Context, who requester.Requester, file string, want places, closed bool) (time.Duration, verdict, error) {
	took, err := g.exec(ctx, who, patience(g.native.ps*time.Duration(g.of.all())), file, listPS...)
	shown, judged, errRead := judge(file, who, want, closed)
	if err = errors.Join(err, errRead); err == nil && shown == 0 {
		err = errors.New("ps has shown nothing")
	}
	return took, judged, err
}

// judge reads what ps has printed into a file, and compares it.
func judge(file string, who requester.Requester, want places, closed bool) (shown int, judged verdict, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, verdict{}, err
	}
	defer f.Close()
	r, err := readRows(f)
	return len(r), r.compare(want, closed, who), err
}

// frozen prints ps-global: the processes that there are stay the same.
func (g *global) frozen(ctx context.Context, all places) error {
	var times []time.Duration
	var worst verdict
	for range globalRounds {
		took, judged, err := g.list(ctx, g.programs.Root(), g.file, all, true)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		worst.add(judged)
		if err != nil {
			return errors.Join(err, worst.print("ps-global"))
		}
		times = append(times, took)
	}
	figures.Print("ps-global", figures.Median(times), g.native.ps*time.Duration(g.of.all()))
	return worst.print("ps-global")
}

// births prints ps-global-births: processes end and start. Those that lived before ps started and
// after it ended are all shown, and none is shown twice.
func (g *global) births(ctx context.Context, all places) error {
	for _, what := range []string{"thaw", "mark"} {
		if err := g.do("%s", what); err != nil {
			return err
		}
	}
	took, err := g.exec(ctx, g.programs.Root(), patience(g.native.ps*time.Duration(g.of.all())), g.file, listPS...)
	lived, errLived := g.lived(all)
	if err := errors.Join(errLived, g.do("freeze")); err != nil {
		return err
	}
	_, judged, errRead := judge(g.file, g.programs.Root(), lived, false)
	if err == nil {
		figures.Print("ps-global-births", took, g.native.ps*time.Duration(g.of.all()))
	}
	return errors.Join(err, errRead, judged.print("ps-global-births"))
}

// users prints ps-global-user: a user of a quarter of the nodes runs ps at the same time as root,
// and sees theirs alone, at the same speed.
func (g *global) users(ctx context.Context, _ places) error {
	all, err := g.places(ctx, g.of.all()) // some have come to be since
	if err != nil {
		return err
	}
	quarter := all.on(g.names[:g.quarter()])
	var times [2]time.Duration
	var judged [2]verdict
	var errs [2]error
	var both sync.WaitGroup
	for i, want := range []places{all, quarter} {
		who, file := g.programs.Root(), g.file
		if i == 1 {
			who, file = g.programs.User(), g.file+"-user"
		}
		both.Go(func() { times[i], judged[i], errs[i] = g.list(ctx, who, file, want, true) })
	}
	both.Wait()
	err = errors.Join(errs[:]...)
	if err == nil {
		figures.Print("ps-global-user", each(times[1], len(quarter)), each(times[0], len(all)))
	}
	return errors.Join(err, judged[0].print("ps-global-user/root"), judged[1].print("ps-global-user"))
}

// memory prints ps-global-memory: what a ps that is half done holds in the server, a process, and
// whether it comes back.
func (g *global) memory(ctx context.Context, all places) (err error) {
	root := g.programs.Root()
	limit := patience(g.native.ps*time.Duration(g.of.all())) + collectDeadline
	ctx, cancel := context.WithTimeout(ctx, limit+memoryWithin)
	defer cancel()
	before, err := g.settled(ctx)
	if err != nil {
		return err
	}
	args := append([]string{"exec", "--server", g.address, "--"}, listPS...)
	bounded, end := context.WithTimeout(ctx, limit)
	defer end()
	cmd := root.Aggrfs(bounded, args...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer requester.Finish(cmd)
	defer context.AfterFunc(bounded, func() { out.Close() })()
	// ps has filled the pipe, and waits.
	counts, in := make(rows), bufio.NewScanner(out)
	in.Buffer(nil, 1<<20)
	for len(counts) < len(all)/2 && in.Scan() {
		counts.count(in.Text())
	}
	held, errHeld := g.settled(bounded)
	for in.Scan() {
		counts.count(in.Text())
	}
	out.Close()
	err = ended(bounded, cmd.Wait(), limit, args, &complaint)
	if err = errors.Join(in.Err(), errHeld, err); err != nil {
		return err
	}
	each := uint64(0)
	if held > before {
		each = (held - before) / uint64(len(all))
	}
	figures.Ratio("ps-global-memory", fmt.Sprintf("%dB", each), fmt.Sprintf("%dB", listingBytes), float64(each)/listingBytes)
	short := counts.compare(all, true, root).print("ps-global-memory")
	return errors.Join(short, g.back(ctx, before))
}

// settled is what the server has resident when it has just answered for all processes, so that
// its tables are new ones and its lines of cluster/ps are there.
func (g *global) settled(ctx context.Context) (uint64, error) {
	if _, err := g.ask(ctx, "ps", "--limit", "1"); err != nil {
		return 0, err
	}
	return g.rss(ctx)
}

// back prints ps-global-memory/back: what the server has resident when ps has ended, against what
// it had before.
func (g *global) back(ctx context.Context, before uint64) error {
	for start := time.Now(); ; {
		after, err := g.settled(ctx)
		if err != nil {
			return err
		}
		ratio := float64(after) / float64(before)
		late := time.Since(start) > memoryWithin
		if ratio > memorySlack && !late {
			if err := pause(ctx, 5*time.Second); err != nil {
				return err
			}
			continue
		}
		figures.Ratio("ps-global-memory/back", fmt.Sprintf("%dKiB", after>>10), fmt.Sprintf("%dKiB", before>>10), ratio)
		if ratio > memorySlack {
			return fmt.Errorf("ps-global-memory: %v after ps has ended the server has %.2f times what it had", memoryWithin, ratio)
		}
		return nil
	}
}
