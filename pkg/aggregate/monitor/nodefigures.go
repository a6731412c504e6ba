package monitor

import (
	"context"
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/aggregate/sampler"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

// nodeTable is a table with a row of each node, which row makes.
func nodeTable[R any](ctx context.Context, v files, every time.Duration, row func(f *figures) R) content {
	s := v.sample(ctx, sampler.Want{Every: every})
	t := &report.Table[R]{Answer: s.answer}
	for i := range s.readings {
		t.Rows = append(t.Rows, row(newFigures(v, &s.readings[i])))
	}
	return t
}

// figures are those of one node as a view may have them. Each is nil where it is not known.
type figures struct {
	*sampler.Reading
	v     files
	group string // that the next are of
	shown bool   // it is shown
}

func newFigures(v files, r *sampler.Reading) *figures { return &figures{Reading: r, v: v} }

// of goes to a group, which is of that file.
func (f *figures) of(group, path string) *figures {
	f.group, f.shown = group, f.v.shows(f.Reading, path)
	return f
}

// number is a figure as it is.
func (f *figures) number(field string) *int64 {
	if n, ok := f.Value(f.group, field); ok && f.shown {
		return &n
	}
	return nil
}

// scaled is a figure in a unit of so many.
func (f *figures) scaled(field string, unit float64) *float64 {
	if n, ok := f.Value(f.group, field); ok && f.shown {
		return new(float64(n) / unit)
	}
	return nil
}

// rate is a counter's rate, in a unit of so many.
func (f *figures) rate(field string, unit float64) *float64 { return f.rowRate("", field, unit) }

func (f *figures) rowRate(row, field string, unit float64) *float64 {
	if rate, ok := f.RowRate(f.group, row, field); ok && f.shown {
		return new(rate / unit)
	}
	return nil
}

// sum is what rates of some rows come to; nil where none is known.
func (f *figures) sum(rows []string, unit float64, fields ...string) *float64 {
	total, known := 0.0, false
	for _, row := range rows {
		for _, field := range fields {
			if rate, ok := f.RowRate(f.group, row, field); ok && f.shown {
				total, known = total+rate/unit, true
			}
		}
	}
	if !known {
		return nil
	}
	return &total
}

// most is the row with the largest rate, of those fields together.
func (f *figures) most(rows []string, unit float64, fields ...string) (name string, most *float64) {
	for _, row := range rows {
		if n := f.sum([]string{row}, unit, fields...); n != nil && (most == nil || *n > *most) {
			name, most = row, n
		}
	}
	return name, most
}

// rows are those of the group, and how many there are; nil is not known.
func (f *figures) rows(without string) (rows []string, many *int64) {
	g := f.Now.Group(f.group)
	if g == nil || !f.shown {
		return nil, nil
	}
	for _, row := range g.Rows {
		if row != without {
			rows = append(rows, row)
		}
	}
	return rows, new(int64(len(rows)))
}

// over is the time that rates are over, in seconds.
func (f *figures) over() *float64 {
	if over := f.Over(); over > 0 {
		return new(over.Seconds())
	}
	return nil
}

func (f *figures) node() string { return string(f.Node.Name) }

// unlessLimited is a figure that counts what the processes of all users do.
func unlessLimited[T any](f *figures, n *T) *T {
	if f.v.Limited() {
		return nil
	}
	return n
}

func load(ctx context.Context, v files, every time.Duration) content {
	return nodeTable(ctx, v, every, loadRow)
}

func loadRow(f *figures) report.Load {
	row := report.Load{Node: f.node()}
	f.of(snapshot.LoadFigures, "loadavg")
	row.Load1, row.Load5, row.Load15 = f.scaled("load1", 100), f.scaled("load5", 100), f.scaled("load15", 100)
	row.Running, row.Threads = unlessLimited(f, f.number("running")), unlessLimited(f, f.number("threads"))
	row.CPUs = f.of(snapshot.CPUFigures, "stat").number("cpus")
	row.Blocked = unlessLimited(f, f.of(snapshot.EventFigures, "stat").number("blocked"))
	if up := f.of(snapshot.ClockFigures, "uptime").scaled("boot", 1e9); up != nil {
		row.Uptime = new(int64(*up))
	}
	if d, ok := f.Offset(); ok {
		row.Offset = new(d.Seconds() * 1000)
	}
	return row
}

// cpuShares are the times of the processors that make up all of it: guests are part of user and
// nice, see proc_stat(5).
var cpuShares = [...]string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"}

// shares are what the processors did, in percent of all, in the order of cpuShares.
func (f *figures) shares() (shares [len(cpuShares)]*float64) {
	f.of(snapshot.CPUFigures, "stat")
	if !f.shown || f.Over() == 0 {
		return shares
	}
	var grown [len(cpuShares)]int64
	total := int64(0)
	for i, field := range cpuShares {
		grown[i], _ = f.Grown(f.group, "", field) // idle and iowait may fall by some ticks, which is nothing
		total += grown[i]
	}
	for i := range cpuShares {
		if total > 0 {
			shares[i] = new(float64(grown[i]) / float64(total) * 100)
		}
	}
	return shares
}

// usedCPU is for how much of their time the processors did not idle, in percent.
func (f *figures) usedCPU() *float64 {
	s := f.shares()
	idle, waiting := s[slices.Index(cpuShares[:], "idle")], s[slices.Index(cpuShares[:], "iowait")]
	if idle == nil || waiting == nil {
		return nil
	}
	return new(max(0, 100-*idle-*waiting))
}

func cpu(ctx context.Context, v files, every time.Duration) content {
	return nodeTable(ctx, v, every, func(f *figures) report.CPU {
		s := f.shares()
		row := report.CPU{
			Node: f.node(), Over: f.over(),
			User: s[0], Nice: s[1], System: s[2], Idle: s[3], IOWait: s[4], IRQ: s[5], SoftIRQ: s[6], Steal: s[7],
		}
		f.of(snapshot.EventFigures, "stat")
		row.Switches, row.Interrupts, row.Forks = f.rate("ctxt", 1), f.rate("intr", 1), unlessLimited(f, f.rate("forks", 1))
		return row
	})
}

// usedMemory is how much of the memory is not available, in percent.
func (f *figures) usedMemory() *float64 {
	f.of(snapshot.MemoryFigures, "meminfo")
	total, available := f.number("total"), f.number("available")
	if total == nil || available == nil || *total <= 0 {
		return nil
	}
	return new(float64(*total-*available) / float64(*total) * 100)
}

func mem(ctx context.Context, v files, every time.Duration) content {
	return nodeTable(ctx, v, every, memoryRow)
}

func memoryRow(f *figures) report.Memory {
	row := report.Memory{Node: f.node(), Over: f.over(), Used: f.usedMemory()}
	row.Total, row.Free, row.Available = f.number("total"), f.number("free"), f.number("available")
	row.Buffers, row.Cached, row.Shmem, row.Dirty = f.number("buffers"), f.number("cached"), f.number("shmem"), f.number("dirty")
	row.SwapTotal, row.SwapFree = f.number("swap_total"), f.number("swap_free")
	f.of(snapshot.PagingFigures, "vmstat")
	row.OOMKills = f.number("oom_kill")
	row.Faults, row.Major = f.rate("pgfault", 1), f.rate("pgmajfault", 1)
	row.SwapIn, row.SwapOut = f.rate("pswpin", 1), f.rate("pswpout", 1)
	return row
}

func net(ctx context.Context, v files, every time.Duration) content {
	return nodeTable(ctx, v, every, func(f *figures) report.Net {
		row := report.Net{Node: f.node(), Over: f.over()}
		var rows []string
		rows, row.Interfaces = f.of(snapshot.NetFigures, "net/dev").rows("lo")
		row.RxKiB, row.TxKiB = f.sum(rows, 1024, "rx_bytes"), f.sum(rows, 1024, "tx_bytes")
		row.RxPackets, row.TxPackets = f.sum(rows, 1, "rx_packets"), f.sum(rows, 1, "tx_packets")
		row.Errors, row.Drops = f.sum(rows, 1, "rx_errors", "tx_errors"), f.sum(rows, 1, "rx_dropped", "tx_dropped")
		row.Busiest, row.BusyKiB = f.most(rows, 1024, "rx_bytes", "tx_bytes")
		return row
	})
}

func disk(ctx context.Context, v files, every time.Duration) content {
	return nodeTable(ctx, v, every, func(f *figures) report.Disk {
		row := report.Disk{Node: f.node(), Over: f.over()}
		var rows []string
		rows, row.Disks = f.of(snapshot.DiskFigures, "diskstats").rows("")
		row.Reads, row.Writes = f.sum(rows, 1, "reads"), f.sum(rows, 1, "writes")
		row.ReadKiB, row.WriteKiB = f.sum(rows, 1, "read_kib"), f.sum(rows, 1, "write_kib")
		row.Busiest, row.Busy = f.most(rows, 10, "busy") // ms of 1000, in percent
		f.of(snapshot.SpaceFigures, "mounts").fullest(&row)
		return row
	})
}

// fullest is the fullest file system. How full one is, is told as df(1) tells it: of what can be
// used by all.
func (f *figures) fullest(row *report.Disk) {
	g := f.Now.Group(f.group)
	if g == nil || !f.shown {
		return
	}
	for i, mount := range g.Rows {
		size, _ := g.Value(i, "size")
		free, _ := g.Value(i, "free")
		available, ok := g.Value(i, "available")
		used := size - free
		if !ok || used+available <= 0 {
			continue
		}
		if full := float64(used) / float64(used+available) * 100; row.Full == nil || full > *row.Full {
			row.Full, row.Available, row.Mount = &full, &available, mount
		}
	}
}

func pressure(ctx context.Context, v files, every time.Duration) content {
	return nodeTable(ctx, v, every, func(f *figures) report.Pressure {
		row := report.Pressure{Node: f.node(), Over: f.over()}
		of := func(what, field string) (over, ten *float64) {
			f.of(snapshot.PressureFigures, "pressure/"+what)
			g := f.Now.Group(f.group)
			for i := range g.RowNames() {
				if n, ok := g.Value(i, field+"10"); ok && f.shown && g.Rows[i] == what {
					ten = new(float64(n) / 100)
				}
			}
			return f.rowRate(what, field, 1e4), ten // µs of a second, in percent
		}
		row.CPU, row.CPU10 = of("cpu", "some")
		row.Memory, row.Memory10 = of("memory", "some")
		row.MemoryFull, row.MemoryFull10 = of("memory", "full")
		row.IO, row.IO10 = of("io", "some")
		row.IOFull, row.IOFull10 = of("io", "full")
		return row
	})
}
