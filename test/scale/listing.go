package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/test/figures"
	"github.com/aggrfs/aggrfs/test/requester"
)

// firstGlobal is the least global pid that can be one of another node than the head: those below
// are the head's own pids.
const firstGlobal = 1 << 22

// A place is a node and a pid there.
type place struct {
	node string
	pid  int
}

// places are the simulated processes by their global pids, as the server had them in one moment.
type places map[int]place

// places asks the server for all simulated processes. There are as many as there must be.
func (v *served) places(ctx context.Context, processes int) (places, error) {
	ctx, cancel := context.WithTimeout(ctx, readyDeadline)
	defer cancel()
	out, err := v.ask(ctx, "ps", "--strict", "--no-headers", "--nodes", v.nodeset(len(v.names)), "-o", "pid,node,npid")
	if err != nil {
		return nil, err
	}
	all := make(places, processes)
	for line := range strings.Lines(out) {
		var global int
		var p place
		if _, err := fmt.Sscan(line, &global, &p.node, &p.pid); err != nil || global < firstGlobal {
			return nil, fmt.Errorf("aggrfs ps shows %q", line)
		}
		all[global] = p
	}
	if len(all) != processes {
		return nil, fmt.Errorf("aggrfs ps shows %d global pids of %d processes", len(all), processes)
	}
	return all, nil
}

// on are those that are on one of the nodes.
func (p places) on(nodes []string) places {
	wanted := make(map[string]bool, len(nodes))
	for _, name := range nodes {
		wanted[name] = true
	}
	some := make(places)
	for global, at := range p {
		if wanted[at.node] {
			some[global] = at
		}
	}
	return some
}

// lived are those that have lived since the nodes were told to mark what there is.
func (v *served) lived(all places) (places, error) {
	path := filepath.Join(v.dir, "throughout")
	if err := v.do("throughout %s", path); err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	throughout := make(map[place]bool, len(all))
	in := bufio.NewScanner(file)
	for in.Scan() {
		name, pid, _ := strings.Cut(in.Text(), " ")
		number, err := strconv.Atoi(pid)
		if err != nil {
			return nil, err
		}
		throughout[place{name, number}] = true
	}
	some := make(places, len(throughout))
	for global, at := range all {
		if throughout[at] {
			some[global] = at
		}
	}
	if len(some) == 0 {
		return nil, errors.New("no process has lived throughout: take more processes or fewer nodes")
	}
	return some, in.Err()
}

// rows are how often each pid is in a listing.
type rows map[int]int

// readRows reads the pids in the first column of what ps or top has printed. Lines that begin
// with none are heads.
func readRows(r io.Reader) (rows, error) {
	counts := make(rows)
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		counts.count(in.Text())
	}
	return counts, in.Err()
}

// count counts a line, and reports whether it has a pid.
func (r rows) count(line string) bool {
	line = strings.TrimLeft(line, " ")
	end := strings.IndexByte(line, ' ')
	if end < 0 {
		end = len(line)
	}
	pid, err := strconv.Atoi(line[:end])
	if err == nil {
		r[pid]++
	}
	return err == nil
}

// A verdict is what is wrong with a listing.
type verdict struct {
	wanted, missing, double int
	strange                 int // rows of processes that are not the requester's to see
}

// compare compares a listing with what must be in it once. Where closed, nothing else of other
// nodes may be; of the head, only what who may see.
func (r rows) compare(want places, closed bool, who requester.Requester) verdict {
	v := verdict{wanted: len(want)}
	for global := range want {
		if r[global] == 0 {
			v.missing++
		}
	}
	for pid, n := range r {
		if n > 1 {
			v.double++
		}
		_, wanted := want[pid]
		switch {
		case wanted || !closed:
		case pid >= firstGlobal || !who.IsRoot() && othersOnHead(pid):
			v.strange++
		}
	}
	return v
}

// othersOnHead reports whether a pid of this machine is of another user than that of package
// requester. One that has ended is nobody's.
func othersOnHead(pid int) bool {
	var st unix.Stat_t
	return unix.Stat(fmt.Sprintf("/proc/%d", pid), &st) == nil && st.Uid != requester.UID
}

// print prints what is missing and double, and returns it as an error if there is any.
func (v verdict) print(name string) error {
	line := func(what string, n int) {
		figures.Ratio(name+"/"+what, strconv.Itoa(n), strconv.Itoa(v.wanted), float64(n)/float64(max(1, v.wanted)))
	}
	line("missing", v.missing)
	line("double", v.double)
	if v.strange > 0 {
		line("strange", v.strange)
	}
	if v.missing+v.double+v.strange == 0 {
		return nil
	}
	return fmt.Errorf("%s: of %d processes %d are missing and %d double, and %d are not the requester's to see",
		name, v.wanted, v.missing, v.double, v.strange)
}

// add counts the worse of both.
func (v *verdict) add(o verdict) {
	v.wanted = o.wanted
	v.missing, v.double, v.strange = max(v.missing, o.missing), max(v.double, o.double), max(v.strange, o.strange)
}

// exec runs a command on the tree as who, with its output in a file, and returns how long it took
// from its start to its end. It must end before the limit.
func (v *served) exec(ctx context.Context, who requester.Requester, limit time.Duration, file string, argv ...string) (took time.Duration, err error) {
	return v.timed(ctx, who, limit, file, append([]string{"exec", "--server", v.address, "--"}, argv...)...)
}

// timed runs a command of aggrfs as exec does.
func (v *served) timed(ctx context.Context, who requester.Requester, limit time.Duration, file string, args ...string) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	var complaint strings.Builder
	cmd := who.Aggrfs(ctx, args...)
	cmd.Stdout, cmd.Stderr = out, &complaint
	defer requester.Finish(cmd)
	start := time.Now()
	err = cmd.Run()
	took = time.Since(start)
	return took, ended(ctx, err, limit, args, &complaint)
}

// ended is the error of a command that has ended: what it complained of belongs to it.
func ended(ctx context.Context, err error, limit time.Duration, args []string, complaint *strings.Builder) error {
	said := strings.TrimSpace(complaint.String())
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("aggrfs %s has not ended in %v: %s", strings.Join(args, " "), limit.Round(time.Second), said)
	case err != nil:
		return fmt.Errorf("aggrfs %s: %w: %s", strings.Join(args, " "), err, said)
	}
	return nil
}
