package monitor

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/aggregate/sampler"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

// Measures are what a Meter has seen up to one look, for a system that keeps time series. They never
// change.
type Measures struct {
	At    time.Time
	Took  time.Duration  // the look
	Nodes []NodeMeasures // all of the front end, the head node first
	// Users, Jobs and Commands are those with most processes' time, by name; nil where the meter
	// has no names.
	Users, Jobs, Commands []NameMeasures
}

// CPUKinds are the kinds of processor time in NodeMeasures.CPU, as proc_stat(5) has them.
var CPUKinds = cpuShares

// Stalls are what tasks of NodeMeasures.Stalled wait for, and whether some did or all that could run.
var Stalls = [...][2]string{{"cpu", "some"}, {"memory", "some"}, {"memory", "full"}, {"io", "some"}, {"io", "full"}}

// NodeMeasures are those of one node. The counters begin at 0 with the meter and never fall: what a
// node has counted before, or while nobody could see it begin anew, is not in them.
type NodeMeasures struct {
	Name    string
	Up      bool
	Latency time.Duration // of the last answer; 0 is that there was none
	Sweeps  uint64        // that have come since the start
	Missed  uint64        // how many answers had to do without the node
	// Known is that there are figures; else there is nothing in Load and Memory.
	Known   bool
	Load    report.Load
	Memory  report.Memory
	CPU     [len(CPUKinds)]float64 // seconds
	Stalled [len(Stalls)]float64   // seconds
}

// A Meter adds up what it sees of the nodes of a view, from look to look. It is not for concurrent
// use.
type Meter struct {
	v     files
	names bool
	nodes map[*proctable.Node]*nodeMeter

	users, jobs, commands ranking
}

// A nodeMeter is what has been added up of a node, and what its kernel said at the last look.
type nodeMeter struct {
	cpu     [len(CPUKinds)]counter
	stalled [len(Stalls)]counter
	up      int64 // the node's monotonic clock, ns
	procs   *sampler.Procs
}

// A counter is a sum of rises.
type counter struct {
	last int64
	seen bool
	sum  int64
}

// look takes note of what the counter of the node is now. One that is lower than before has begun
// anew, unless it is not much lower: the kernel's idle and iowait fall by some ticks at times.
func (c *counter) look(now int64) {
	switch {
	case !c.seen, now < c.last/2:
		c.last, c.seen = now, true
	case now > c.last:
		c.sum = min(c.sum, math.MaxInt64-(now-c.last)) + now - c.last
		c.last = now
	}
}

// NewMeter is a meter of a view; names are those of users, jobs and commands.
func (m *Monitor) NewMeter(v *view.View, names bool) *Meter {
	return &Meter{v: files{v, m}, names: names, nodes: make(map[*proctable.Node]*nodeMeter)}
}

// Look looks at the nodes as a reader of the sampler at that interval does.
func (t *Meter) Look(ctx context.Context, every time.Duration) *Measures {
	begun := time.Now()
	s := t.v.sample(ctx, sampler.Want{Every: every, Processes: t.names})
	m := &Measures{At: t.v.f.Now()}
	readings := make(map[*proctable.Node]*sampler.Reading, len(s.readings))
	for i := range s.readings {
		readings[s.readings[i].Node] = &s.readings[i]
	}
	for _, n := range t.v.Nodes() {
		one := t.nodes[n]
		if one == nil {
			one = new(nodeMeter)
			t.nodes[n] = one
		}
		h := n.Health()
		row := NodeMeasures{Name: string(n.Name), Up: h.State == upstream.Up, Sweeps: n.Sweeps(), Missed: n.Missed()}
		if !h.Last.IsZero() {
			row.Latency = max(h.Latency, 1)
		}
		if r := readings[n]; r != nil && r.Now.Figures != nil && r.Age == 0 {
			row.Known = true
			f := newFigures(t.v, r)
			row.Load, row.Memory = loadRow(f), memoryRow(f)
			one.look(f)
		}
		for i := range one.cpu {
			row.CPU[i] = float64(one.cpu[i].sum) / 1e3
		}
		for i := range one.stalled {
			row.Stalled[i] = float64(one.stalled[i].sum) / 1e6
		}
		m.Nodes = append(m.Nodes, row)
	}
	if t.names {
		t.lookAtProcesses(ctx, s)
		m.Users, m.Jobs, m.Commands = t.users.measures(), t.jobs.measures(), t.commands.measures()
	}
	m.Took = time.Since(begun)
	return m
}

// look takes note of a node's counters. At a reboot all begin anew.
func (one *nodeMeter) look(f *figures) {
	up, _ := f.Value(snapshot.ClockFigures, "monotonic")
	if up < one.up {
		for i := range one.cpu {
			one.cpu[i].seen = false
		}
		for i := range one.stalled {
			one.stalled[i].seen = false
		}
	}
	one.up = up
	f.of(snapshot.CPUFigures, "stat")
	for i, kind := range CPUKinds {
		if n := f.number(kind); n != nil {
			one.cpu[i].look(max(*n, 0))
		}
	}
	for i, what := range Stalls {
		f.of(snapshot.PressureFigures, "pressure/"+what[0])
		if g := f.Now.Group(f.group); g != nil && f.shown {
			if n, ok := g.Value(slices.Index(g.Rows, what[0]), what[1]); ok {
				one.stalled[i].look(max(n, 0))
			}
		}
	}
}
