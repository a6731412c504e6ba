package aggregate

import (
	"context"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/rewrite"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

// A table is the processes of one node as one snapshot brought them. It never
// changes; a newer one takes its place as a whole.
type table struct {
	*snapshot.Table
	expires time.Time // from then on it is not used any more
}

// keep is how much longer the table is good; 0 if it is not.
func (t *table) keep(now time.Time) time.Duration {
	if t == nil {
		return 0
	}
	return max(0, t.expires.Sub(now))
}

// row finds a process in a table that is still good, and only if it is the very
// process that leaf names.
func (n *node) row(pid PID, leaf uint64) (t *table, i int, keep time.Duration) {
	t = n.table.Load()
	if keep = t.keep(n.now()); keep == 0 {
		return nil, 0, 0
	}
	i, ok := t.Find(int32(pid))
	if !ok || t.Proc(i).ID != leaf {
		return nil, 0, 0
	}
	return t, i, keep
}

// lateReads is how many different processes are read one by one after a table
// has expired before it is fetched anew: whoever reads on, process after
// process, is in the middle of a sweep that takes longer than the table's time.
const lateReads = 8

// renew sees to it that there is a good table where one pays. It is called
// before a process of the node is read, by those for whom the tables are.
func (n *node) renew(ctx context.Context, pid PID) {
	t := n.table.Load()
	if t == nil || t.keep(n.now()) > 0 {
		return
	}
	if n.latePID.Swap(int32(pid)) != int32(pid) && n.late.Add(1) > lateReads {
		_, _ = n.fresh(ctx) // without one the process is read by itself
	}
}

// fileIndex is where the file at that path below a process directory stands in
// the tables, or -1.
func (n *node) fileIndex(path []string) int {
	if len(path) != 1 {
		return -1
	}
	for k, name := range n.policy.Prefetch() {
		if name == path[0] {
			return k
		}
	}
	return -1
}

// host is what rewriting needs to know of the reader's machine.
type host struct {
	bootID   string
	boot     time.Time
	hz       int64
	pageSize int64
}

// clock turns a node's numbers into the reader's. It is made from the facts of
// a snapshot and stays the same as long as the node does, so that a start time
// does not jump by a tick whenever the clocks of two machines drift by a
// microsecond.
type clock struct {
	bootID string
	boot   time.Time
	m      *rewrite.Map
}

// clockDrift is how far a node's idea of its boot time may move before start
// times follow it.
const clockDrift = 500 * time.Millisecond

// inTicks is d in ticks of that many a second, towards zero.
func inTicks(d time.Duration, hz int64) int64 {
	return int64(d/time.Second)*hz + int64(d%time.Second)*hz/int64(time.Second)
}

// mapping returns what rewrites the files of a node with those facts, the one
// from last time where it still fits.
func (c *Cluster) mapping(n *node, f snapshot.Facts) *rewrite.Map {
	old := n.clock.Load()
	if old != nil && old.bootID == f.BootID && old.boot.Sub(f.BootTime).Abs() < clockDrift {
		return old.m
	}
	fresh := &clock{bootID: f.BootID, boot: f.BootTime, m: &rewrite.Map{
		PID:        func(native int64) int64 { return int64(fixedGPID(n.index, PID(native))) },
		StartShift: inTicks(f.BootTime.Sub(c.host.boot), c.host.hz),
		HzFrom:     int64(f.Hz), HzTo: c.host.hz,
		PageFrom: int64(f.PageSize), PageTo: c.host.pageSize,
	}}
	if n.index == 0 {
		fresh.m.StartShift = 0
	}
	if c.cfg.CgroupNode {
		fresh.m.CgroupNode = string(n.name)
	}
	n.clock.Store(fresh)
	return fresh.m
}
