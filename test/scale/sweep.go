package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/test/figures"
)

const (
	sweepNodes = 2000
	sweepProcs = 200
	sweepChurn = 0.05 // in a second
	// sweepKeep is how long tables are kept: what is measured as warm is a sweep.
	sweepKeep = 500 * time.Millisecond
	// bytesAProcess is what a process may take, see table-memory.
	bytesAProcess = 1200
)

// patient are timeouts that no node of a busy machine exceeds.
var patient = aggregate.Timeouts{Connect: time.Minute, Read: time.Minute, Sweep: time.Minute}

// swept is what came of a number of nodes.
type swept struct {
	cold, warm time.Duration
	memory     uint64 // of the heap, bytes
}

// How often each is measured: what counts is the fastest, which others on the machine
// have disturbed least.
const coldRounds, warmRounds = 3, 5

// sweeps measures nodes from nothing to a full cluster/ps, and again with some
// processes changed.
func sweeps(ctx context.Context, of size) (w swept, err error) {
	for range coldRounds - 1 {
		once, err := sweepOnce(ctx, of, 0)
		if err != nil {
			return w, err
		}
		w.cold = least(w.cold, once.cold)
	}
	once, err := sweepOnce(ctx, of, warmRounds)
	once.cold = least(w.cold, once.cold)
	return once, err
}

// sweepOnce is sweeps with nodes and a front end that have just been started.
func sweepOnce(ctx context.Context, of size, warm int) (w swept, err error) {
	s, err := simulate(ctx, of.nodes, of.procs, 0)
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	before := heap()
	start := time.Now()
	f, err := newFront(s, sweepKeep, patient)
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	f.Ready(ctx)
	if _, err = f.whole(ctx, of.all()); err != nil {
		return w, err
	}
	w.cold = time.Since(start)
	for range warm {
		if err = s.do("churn %g", sweepChurn); err != nil {
			return w, err
		}
		// A table is good for twice as long as it took to get, too.
		time.Sleep(2*w.cold + sweepKeep)
		took, err := f.whole(ctx, of.all())
		if err != nil {
			return w, err
		}
		w.warm = least(w.warm, took)
	}
	w.memory = heap() - before
	runtime.KeepAlive(f)
	return w, nil
}

func least(so, d time.Duration) time.Duration {
	if so == 0 {
		return d
	}
	return min(so, d)
}

// sweepFigures prints sweep-cold, sweep-warm and table-memory.
func sweepFigures(ctx context.Context, of size) error {
	w, err := sweeps(ctx, of)
	if err != nil {
		return err
	}
	theirs, err := pdsh(ctx, of.nodes, of.procs)
	if err != nil {
		return err
	}
	figures.Ratio("sweep-cold", figures.Readable(w.cold), figures.Readable(theirs), theirs.Seconds()/w.cold.Seconds())
	figures.Print("sweep-warm", w.warm, w.cold)
	each := w.memory / uint64(of.all())
	figures.Ratio("table-memory", fmt.Sprintf("%dB", each), fmt.Sprintf("%dB", bytesAProcess), float64(each)/bytesAProcess)
	return nil
}

// growth prints how time and memory a node go with the number of nodes.
func growth(ctx context.Context, of size) error {
	var first swept
	const least = 250
	for nodes := least; nodes <= 4000; nodes *= 2 {
		w, err := sweeps(ctx, size{nodes, of.procs})
		if err != nil {
			return err
		}
		if nodes == least {
			first = w
		}
		figures.Print(fmt.Sprintf("sweep-growth/cold-%d", nodes), each(w.cold, nodes), each(first.cold, least))
		figures.Print(fmt.Sprintf("sweep-growth/warm-%d", nodes), each(w.warm, nodes), each(first.warm, least))
		ours, theirs := w.memory/uint64(nodes), first.memory/least
		figures.Ratio(fmt.Sprintf("sweep-growth/memory-%d", nodes), fmt.Sprintf("%dB", ours), fmt.Sprintf("%dB", theirs), float64(ours)/float64(theirs))
	}
	return nil
}

// pdsh is what it takes to fork "ps -ef" for each of as many nodes, without any
// network, on a machine that has so many processes.
func pdsh(ctx context.Context, nodes, procs int) (time.Duration, error) {
	dir, err := os.MkdirTemp("", "aggrfs-pdsh-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	took := filepath.Join(dir, "took")
	// The processes of a pid namespace: those of this machine are not seen. With the
	// shell and ps itself there are as many as wanted.
	script := fmt.Sprintf(`for i in $(seq %d); do sleep 10000 & done
		TIMEFORMAT=%%R
		{ time pdsh -R exec -w 'n[0001-%04d]' ps -ef >/dev/null 2>&3; } 3>&2 2>%s
		kill $(jobs -p)`, procs-2, nodes, took)
	cmd := exec.CommandContext(ctx, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("pdsh: %w: %s", err, out)
	}
	text, err := os.ReadFile(took)
	if err != nil {
		return 0, err
	}
	var seconds float64
	if _, err := fmt.Sscan(string(text), &seconds); err != nil {
		return 0, fmt.Errorf("pdsh took %q", text)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
