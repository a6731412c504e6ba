package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/figures"
)

const (
	nativeProcs  = 5000
	nativeRounds = 5
)

// listPS and showTop are the commands that are run on the tree and on real processes.
var (
	listPS  = []string{"ps", "-eo", "pid,user,stat,args"}
	showTop = []string{"top", "-b", "-n", "3", "-d", "1"} // see topFrames and topDelay
)

const (
	topFrames = 3
	topDelay  = time.Second // that top waits between two frames
)

// native is what ps and a frame of top take on this machine's own /proc, a process.
type native struct{ ps, top time.Duration }

// measureNative runs ps and top on a node with 5,000 real processes, which end with it.
func measureNative(ctx context.Context) (n native, err error) {
	c, err := cluster.Start(ctx, cluster.Options{
		Nodes: 1, ProcsrvPath: "bin/procsrv", Many: nativeProcs,
		Workload: func(string) []cluster.Process { return nil },
	})
	if err != nil {
		return n, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	node := c.Nodes[0]
	var ps, top []time.Duration
	for i := range nativeRounds + 1 {
		took, err := nativePS(ctx, node)
		if err != nil {
			return n, err
		}
		if i > 0 { // the first run finds nothing in the kernel's caches
			ps = append(ps, took)
		}
	}
	for range nativeRounds {
		cmd := node.Command(ctx, showTop...)
		cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TERM=dumb"}
		frames, err := runTop(ctx, cmd)
		if err != nil {
			return n, err
		}
		for _, f := range frames[1:] { // the first has top's start in it
			top = append(top, f.took)
		}
	}
	n.ps, n.top = figures.Median(ps)/nativeProcs, figures.Median(top)/nativeProcs
	return n, nil
}

// runTop runs a command that is showTop, or runs it, until it ends or the context does.
func runTop(ctx context.Context, cmd *exec.Cmd) ([]frame, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { out.Close() })() // or who holds the other end could keep us
	frames, err := readFrames(out, start)
	out.Close()
	return frames, errors.Join(err, cmd.Wait())
}

// nativePS is what ps takes on a node, into a file there.
func nativePS(ctx context.Context, node *cluster.Node) (time.Duration, error) {
	script := "TIMEFORMAT=%R; time " + strings.Join(listPS, " ") + " >/tmp/rows"
	out, err := node.Command(ctx, "bash", "-c", script).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("ps: %w: %s", err, out)
	}
	var seconds float64
	if _, err := fmt.Sscan(string(out), &seconds); err != nil {
		return 0, fmt.Errorf("ps says %q", out)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// A frame is one refresh of top.
type frame struct {
	took time.Duration // from the end of the delay behind the one before, or from top's start
	rows rows
}

// readFrames reads what "top -b" prints. There are three frames, each of which was there when
// its last byte but for the end of the line was, which comes with the next frame.
func readFrames(r io.Reader, start time.Time) (frames []frame, err error) {
	var text []byte
	var ends []int // of what came at once
	var at []time.Time
	for {
		text = slices.Grow(text, 1<<16)
		n, err := r.Read(text[len(text):cap(text)])
		if n > 0 {
			text = text[:len(text)+n]
			ends, at = append(ends, len(text)), append(at, time.Now())
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	const head = "top - "
	if !bytes.HasPrefix(text, []byte(head)) {
		return nil, fmt.Errorf("top begins with %q", text[:min(len(text), 80)])
	}
	for end := 0; end < len(text); {
		one := text[end:]
		if next := bytes.Index(one, []byte("\n"+head)); next >= 0 {
			one = one[:next+1]
		}
		last := end + len(bytes.TrimRight(one, "\n")) - 1
		end += len(one)
		i, _ := slices.BinarySearch(ends, last+1)
		f := frame{took: at[i].Sub(start)}
		if f.rows, err = readRows(bytes.NewReader(one)); err != nil {
			return nil, err
		}
		frames, start = append(frames, f), at[i].Add(topDelay)
	}
	if len(frames) != topFrames {
		return nil, fmt.Errorf("top has shown %d frames of %d", len(frames), topFrames)
	}
	return frames, nil
}
