// Package meter takes the figures of a node: what its kernel has counted, and how much of
// something there is, from the node's own /proc and file systems.
//
// The groups and their fields, with their units; counters are since boot:
//
//	clock     real monotonic boot: CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, ns
//	load      load1 load5 load15: hundredths; running threads: as in proc_loadavg(5)
//	cpu       user nice system idle iowait irq softirq steal guest guest_nice: counters, ms;
//	          cpus: how many there are
//	events    ctxt intr forks: counters of proc_stat(5); blocked: processes that wait for I/O
//	memory    total free available buffers cached reclaimable shmem dirty writeback
//	          swap_total swap_free: of proc_meminfo(5), KiB
//	paging    pgfault pgmajfault pgpgin pgpgout pswpin pswpout oom_kill: counters of
//	          proc_vmstat(5); pgpgin and pgpgout are KiB, the others pages or events
//	net       a row an interface: rx_bytes rx_packets rx_errors rx_dropped, tx_...: counters
//	disk      a row a whole disk: reads writes, read_kib write_kib, busy: counters, the last in ms
//	pressure  a row each of cpu, memory, io: some10 some60 some300, full10 ...: hundredths of a
//	          percent; some full: counters, µs; see Documentation/accounting/psi.rst
//	space     a row a local file system, by where it is mounted: size free available, KiB
//
// # Failure
//
// What cannot be read, or makes no sense, is left out. A file system that does not answer is left
// behind in the kernel when its time is over, and not asked again before it has answered.
package meter

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/blockdevice"
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

// A Meter takes the figures of this machine. It must not be used concurrently.
type Meter struct {
	root  string
	space *space
	buf   []byte
}

// New is a meter by the procfs that is mounted at root.
func New(root string) *Meter {
	return &Meter{root: root, buf: make([]byte, 64<<10), space: newSpace(filepath.Join(root, "self/mountinfo"))}
}

// Figures is a [snapshot.Meter].
func (m *Meter) Figures(ctx context.Context) *snapshot.Figures {
	groups := []snapshot.Group{clock()}
	for _, read := range []func(procfs.FS) ([]snapshot.Group, error){m.load, m.stat, m.memory, m.paging, m.net, m.disks, m.pressure} {
		// A file that the parser fails of, or panics on, costs its own groups alone.
		_ = procfile.Local(m.root, func(fs procfs.FS) error {
			more, err := read(fs)
			if err == nil {
				groups = append(groups, more...)
			}
			return err
		})
	}
	if g := m.space.group(ctx); len(g.Rows) > 0 {
		groups = append(groups, g)
	}
	return snapshot.NewFigures(groups)
}

// one is a group of a single row.
func one(name string, fields []string, values ...int64) []snapshot.Group {
	return []snapshot.Group{{Name: name, Fields: fields, Rows: noName, Values: values}}
}

// The names of rows and fields are the same slices each time.
var (
	noName        = []string{""}
	clockFields   = []string{"real", "monotonic", "boot"}
	loadFields    = []string{"load1", "load5", "load15", "running", "threads"}
	cpuFields     = []string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice", "cpus"}
	eventFields   = []string{"ctxt", "intr", "forks", "blocked"}
	memoryFields  = []string{"total", "free", "available", "buffers", "cached", "reclaimable", "shmem", "dirty", "writeback", "swap_total", "swap_free"}
	pagingFields  = []string{"pgfault", "pgmajfault", "pgpgin", "pgpgout", "pswpin", "pswpout", "oom_kill"}
	netFields     = []string{"rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "tx_bytes", "tx_packets", "tx_errors", "tx_dropped"}
	diskFields    = []string{"reads", "writes", "read_kib", "write_kib", "busy"}
	pressureRows  = []string{"cpu", "memory", "io"}
	pressureField = []string{"some10", "some60", "some300", "some", "full10", "full60", "full300", "full"}
	spaceFields   = []string{"size", "free", "available"}
)

func clock() snapshot.Group {
	read := func(id int32) int64 {
		var t unix.Timespec
		_ = unix.ClockGettime(id, &t) // a clock that every kernel has
		return t.Nano()
	}
	return one(snapshot.ClockFigures, clockFields, read(unix.CLOCK_REALTIME), read(unix.CLOCK_MONOTONIC), read(unix.CLOCK_BOOTTIME))[0]
}

// read reads a file whole, into a buffer that is used again. The kernel makes the text of such a file
// anew for each read(2), so that few large ones cost the least.
func (m *Meter) read(name string) ([]byte, error) {
	fd, err := unix.Open(filepath.Join(m.root, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	n := 0
	for n < len(m.buf) {
		more, err := unix.Read(fd, m.buf[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || more == 0 {
			return m.buf[:n], err
		}
		n += more
	}
	return nil, unix.EFBIG
}

// load reads proc_loadavg(5), of which the parser tells half.
func (m *Meter) load(procfs.FS) ([]snapshot.Group, error) {
	text, err := m.read("loadavg")
	if err != nil {
		return nil, err
	}
	f := strings.Fields(string(text))
	if len(f) < 4 {
		return nil, strconv.ErrSyntax
	}
	var values [5]int64
	for i := range 3 {
		load, err := strconv.ParseFloat(f[i], 64)
		if err != nil {
			return nil, err
		}
		values[i] = hundredths(load)
	}
	running, threads, _ := strings.Cut(f[3], "/")
	if values[3], err = strconv.ParseInt(running, 10, 64); err != nil {
		return nil, err
	}
	if values[4], err = strconv.ParseInt(threads, 10, 64); err != nil {
		return nil, err
	}
	return one(snapshot.LoadFigures, loadFields, values[:]...), nil
}

func (*Meter) stat(fs procfs.FS) ([]snapshot.Group, error) {
	s, err := fs.Stat()
	if err != nil {
		return nil, err
	}
	c, ms := s.CPUTotal, func(seconds float64) int64 { return int64(seconds*1000 + 0.5) }
	return append(one(snapshot.CPUFigures, cpuFields,
		ms(c.User), ms(c.Nice), ms(c.System), ms(c.Idle), ms(c.Iowait), ms(c.IRQ), ms(c.SoftIRQ), ms(c.Steal), ms(c.Guest), ms(c.GuestNice), int64(len(s.CPU))),
		one(snapshot.EventFigures, eventFields, int64(s.ContextSwitches), int64(s.IRQTotal), int64(s.ProcessCreated), int64(s.ProcessesBlocked))...), nil
}

func (*Meter) memory(fs procfs.FS) ([]snapshot.Group, error) {
	i, err := fs.Meminfo()
	if err != nil {
		return nil, err
	}
	// What this kernel does not tell is left out, as if it had no such field.
	var fields []string
	var values []int64
	for k, v := range []*uint64{i.MemTotal, i.MemFree, i.MemAvailable, i.Buffers, i.Cached, i.SReclaimable, i.Shmem, i.Dirty, i.Writeback, i.SwapTotal, i.SwapFree} {
		if v != nil {
			fields, values = append(fields, memoryFields[k]), append(values, int64(*v))
		}
	}
	return one(snapshot.MemoryFigures, fields, values...), nil
}

// paging reads proc_vmstat(5), which the parser does not know.
func (m *Meter) paging(procfs.FS) ([]snapshot.Group, error) {
	text, err := m.read("vmstat")
	if err != nil {
		return nil, err
	}
	var fields []string
	var values []int64
	for line := range bytes.Lines(text) {
		name, number, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		k := slices.IndexFunc(pagingFields, func(field string) bool { return field == string(name) })
		if k < 0 {
			continue
		}
		n, err := strconv.ParseInt(string(number), 10, 64)
		if err != nil {
			return nil, err
		}
		fields, values = append(fields, pagingFields[k]), append(values, n)
	}
	return one(snapshot.PagingFigures, fields, values...), nil
}

func (*Meter) net(fs procfs.FS) ([]snapshot.Group, error) {
	devices, err := fs.NetDev()
	if err != nil {
		return nil, err
	}
	g := snapshot.Group{Name: snapshot.NetFigures, Fields: netFields}
	for name := range devices {
		g.Rows = append(g.Rows, name)
	}
	slices.Sort(g.Rows)
	for _, name := range g.Rows {
		d := devices[name]
		for _, v := range []uint64{d.RxBytes, d.RxPackets, d.RxErrors, d.RxDropped, d.TxBytes, d.TxPackets, d.TxErrors, d.TxDropped} {
			g.Values = append(g.Values, int64(v))
		}
	}
	return []snapshot.Group{g}, nil
}

func (m *Meter) disks(procfs.FS) ([]snapshot.Group, error) {
	// Nothing is read of /sys, whose place the parser wants to know.
	fs, err := blockdevice.NewFS(m.root, m.root)
	if err != nil {
		return nil, err
	}
	all, err := fs.ProcDiskstats()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(all))
	for i, d := range all {
		names[i] = d.DeviceName
	}
	g := snapshot.Group{Name: snapshot.DiskFigures, Fields: diskFields}
	for _, d := range all {
		if !wholeDisk(d.DeviceName, names) {
			continue
		}
		g.Rows = append(g.Rows, d.DeviceName)
		g.Values = append(g.Values, int64(d.ReadIOs), int64(d.WriteIOs), int64(d.ReadSectors/2), int64(d.WriteSectors/2), int64(d.IOsTotalTicks))
	}
	return []snapshot.Group{g}, nil
}

// wholeDisk reports whether a block device is a disk by itself: no partition of another, and none
// that stands on others or on memory, whose transfers would count twice or are none.
func wholeDisk(name string, all []string) bool {
	for _, kind := range []string{"loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"} {
		if rest, ok := strings.CutPrefix(name, kind); ok && strings.Trim(rest, "0123456789") == "" {
			return false
		}
	}
	disk := strings.TrimRight(name, "0123456789")
	if disk == name {
		return true
	}
	if base, ok := strings.CutSuffix(disk, "p"); ok && base != strings.TrimRight(base, "0123456789") {
		disk = base // nvme0n1p1 is of nvme0n1, sda1 of sda
	}
	return !slices.Contains(all, disk)
}

func (*Meter) pressure(fs procfs.FS) ([]snapshot.Group, error) {
	g := snapshot.Group{Name: snapshot.PressureFigures, Fields: pressureField}
	for _, of := range pressureRows {
		s, err := fs.PSIStatsForResource(of)
		if err != nil {
			return nil, err
		}
		g.Rows = append(g.Rows, of)
		for _, l := range []*procfs.PSILine{s.Some, s.Full} {
			if l == nil {
				l = &procfs.PSILine{}
			}
			g.Values = append(g.Values, hundredths(l.Avg10), hundredths(l.Avg60), hundredths(l.Avg300), int64(l.Total))
		}
	}
	return []snapshot.Group{g}, nil
}

func hundredths(v float64) int64 { return int64(v*100 + 0.5) }

// statTime is how long all file systems have to answer.
const statTime = 100 * time.Millisecond
