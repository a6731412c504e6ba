package procsim

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

// The names are the same for all nodes.
var (
	one        = []string{""}
	netRows    = []string{"lo", "eth0", "ib0"}
	diskRows   = []string{"nvme0n1", "sda"}
	spaceRows  = []string{"/", "/scratch"}
	pressures  = []string{"cpu", "memory", "io"}
	clockNames = []string{"real", "monotonic", "boot"}
	loadNames  = []string{"load1", "load5", "load15", "running", "threads"}
	cpuNames   = []string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice", "cpus"}
	eventNames = []string{"ctxt", "intr", "forks", "blocked"}
	memNames   = []string{"total", "free", "available", "buffers", "cached", "reclaimable", "shmem", "dirty", "writeback", "swap_total", "swap_free"}
	pageNames  = []string{"pgfault", "pgmajfault", "pgpgin", "pgpgout", "pswpin", "pswpout", "oom_kill"}
	netNames   = []string{"rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "tx_bytes", "tx_packets", "tx_errors", "tx_dropped"}
	diskNames  = []string{"reads", "writes", "read_kib", "write_kib", "busy"}
	stallNames = []string{"some10", "some60", "some300", "some", "full10", "full60", "full300", "full"}
	spaceNames = []string{"size", "free", "available"}
)

// measure takes figures of a node that has been busy at an even pace since its
// boot, so that each is what the time makes of it. Its processors are busy for a quarter of it, and
// what of its memory is dirty is its clock, in ms of a day, by which it can be told how old a figure
// is.
func measure(n *Node) *snapshot.Figures {
	n.counts.figures.Add(1)
	up := time.Since(n.boot)
	ms, s := up.Milliseconds(), int64(up.Seconds())
	group := func(name string, fields, rows []string, values ...int64) snapshot.Group {
		if len(values) != len(fields)*len(rows) {
			panic(fmt.Sprint(name, " has ", len(values), " figures"))
		}
		return snapshot.Group{Name: name, Fields: fields, Rows: rows, Values: values}
	}
	const gib = 1 << 20 // KiB
	free := 400*gib + s%977*1024
	return snapshot.NewFigures([]snapshot.Group{
		group(snapshot.ClockFigures, clockNames, one, time.Now().UnixNano(), int64(up), int64(up)),
		group(snapshot.LoadFigures, loadNames, one, 3200+s%100, 3100, 3000, 33, 900),
		group(snapshot.CPUFigures, cpuNames, one, ms*24, 0, ms*8, ms*96, 0, 0, 0, 0, 0, 0, 128),
		group(snapshot.EventFigures, eventNames, one, ms*20, ms*10, ms/10, 0),
		group(snapshot.MemoryFigures, memNames, one, 512*gib, free, free, gib, 20*gib, gib, gib, Clock(time.Now()), 0, 0, 0),
		group(snapshot.PagingFigures, pageNames, one, ms*5, 0, ms, ms*2, 0, 0, 0),
		group(snapshot.NetFigures, netNames, netRows, 1, 1, 0, 0, 1, 1, 0, 0, ms*1000, ms, 0, 0, ms*500, ms, 0, 0, ms*90000, ms*60, 0, 0, ms*90000, ms*60, 0, 0),
		group(snapshot.DiskFigures, diskNames, diskRows, ms/10, ms/5, ms, ms*2, ms/50, 12, 13, 14, 15, 16),
		group(snapshot.PressureFigures, stallNames, pressures, 12, 10, 8, ms*10, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 5, 1, 1, 1, ms, 0, 0, 0, ms/2),
		group(snapshot.SpaceFigures, spaceNames, spaceRows, 400*gib, 300*gib, 280*gib, 4000*gib, 100*gib, 100*gib),
	})
}

// Clock is a time in ms of its day.
func Clock(t time.Time) int64 { return t.UnixMilli() % (24 * 60 * 60 * 1000) }

// counts are what was asked of a node.
type counts struct{ figures, sweeps, others atomic.Int64 }

// Counts are how often all nodes together have taken figures and made sweeps, and how many other
// requests there were of them but for the attributes of their roots, which is how a front end asks
// if a node is there.
func (c *Cluster) Counts() (figures, sweeps, others int64) {
	for _, n := range c.Nodes {
		figures += n.counts.figures.Load()
		sweeps += n.counts.sweeps.Load()
		others += n.counts.others.Load()
	}
	return figures, sweeps, others
}
