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
// The files are parsed here, each in one pass over one buffer: at ten times a second the field's
// parser, against which the tests hold this one, takes longer than the kernel does.
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
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

// A Meter takes the figures of this machine. It must not be used concurrently.
type Meter struct {
	root  string
	space *space
	buf   []byte
	names map[string]string // of interfaces and devices, so that each is one string
}

// New is a meter by the procfs that is mounted at root.
func New(root string) *Meter {
	return &Meter{root: root, space: newSpace(filepath.Join(root, "self/mountinfo")), buf: make([]byte, 16<<10), names: make(map[string]string)}
}

// statTime is how long all file systems have to answer.
const statTime = 100 * time.Millisecond

// Figures is a [snapshot.Meter].
func (m *Meter) Figures(ctx context.Context) *snapshot.Figures {
	groups := append(make([]snapshot.Group, 0, 10), clock())
	for _, f := range []struct {
		file  string
		parse func(*Meter, []byte) []snapshot.Group
	}{{"loadavg", load}, {"stat", stat}, {"meminfo", memory}, {"vmstat", paging}, {"net/dev", net}, {"diskstats", disks}} {
		if text, err := m.read(f.file); err == nil {
			groups = append(groups, f.parse(m, text)...)
		}
	}
	if g := m.pressure(); len(g.Rows) > 0 {
		groups = append(groups, g)
	}
	if g := m.space.group(ctx); len(g.Rows) > 0 {
		groups = append(groups, g)
	}
	return snapshot.NewFigures(groups)
}

// maxFile is how long a file may be, in bytes. A machine of thousands of processors has a stat of
// some 100 KB.
const maxFile = 4 << 20

// read reads a file whole, into a buffer that is used again. The kernel makes the text of such a file
// anew for each read(2), so that few large ones cost the least.
func (m *Meter) read(name string) ([]byte, error) {
	fd, err := unix.Open(m.root+"/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for n := 0; n < maxFile; {
		if n == len(m.buf) {
			m.buf = append(m.buf, make([]byte, len(m.buf))...)
		}
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

// number is the number that b begins with after blanks, and what follows it; a point in it is passed
// over, so that what has two decimals comes in hundredths. It is not ok where there is none, or where
// it is no number of a kernel's.
func number(b []byte) (n int64, rest []byte, ok bool) {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	i := 0
	for ; i < len(b) && (b[i] >= '0' && b[i] <= '9' || b[i] == '.'); i++ {
		if b[i] == '.' {
			continue
		}
		if n > (1<<63-10)/10 {
			return 0, b, false
		}
		n, ok = n*10+int64(b[i]-'0'), true
	}
	return n, b[i:], ok
}

// numbers are the first numbers of a line; not ok if there are too few.
func numbers(line []byte, into []int64) (ok bool) {
	for i := range into {
		if into[i], line, ok = number(line); !ok {
			return false
		}
	}
	return true
}

// name is one string for the bytes of a name.
func (m *Meter) name(b []byte) string {
	s, ok := m.names[string(b)]
	if !ok {
		if len(m.names) > 4*snapshot.MaxGroupRows { // of those that come and go
			clear(m.names)
		}
		s = string(b)
		m.names[s] = s
	}
	return s
}

// one is a group of a single row.
func one(name string, fields []string, values ...int64) snapshot.Group {
	return snapshot.Group{Name: name, Fields: fields, Rows: noName, Values: values}
}

// The names of rows and fields are the same slices each time.
var (
	noName        = []string{""}
	clockFields   = []string{"real", "monotonic", "boot"}
	loadFields    = []string{"load1", "load5", "load15", "running", "threads"}
	cpuFields     = []string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice", "cpus"}
	eventFields   = []string{"ctxt", "intr", "forks", "blocked"}
	memoryFields  = []string{"total", "free", "available", "buffers", "cached", "reclaimable", "shmem", "dirty", "writeback", "swap_total", "swap_free"}
	memoryNames   = []string{"MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SReclaimable", "Shmem", "Dirty", "Writeback", "SwapTotal", "SwapFree"}
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
	return one(snapshot.ClockFigures, clockFields, read(unix.CLOCK_REALTIME), read(unix.CLOCK_MONOTONIC), read(unix.CLOCK_BOOTTIME))
}

// load reads proc_loadavg(5).
func load(_ *Meter, text []byte) []snapshot.Group {
	values := make([]int64, len(loadFields))
	if !numbers(text, values[:4]) {
		return nil
	}
	_, threads, _ := bytes.Cut(text, []byte("/"))
	if !numbers(threads, values[4:]) {
		return nil
	}
	return []snapshot.Group{one(snapshot.LoadFigures, loadFields, values...)}
}

// tick is how long a clock tick of stat is, in ms: USER_HZ is 100 on every architecture that Go runs
// on (include/asm-generic/param.h).
const tick = 10

// stat reads proc_stat(5).
func stat(_ *Meter, text []byte) (groups []snapshot.Group) {
	cpu, events := make([]int64, len(cpuFields)), make([]int64, len(eventFields))
	cpus := &cpu[len(cpu)-1]
	whole, seen := false, 0
	for line := range bytes.Lines(text) {
		key, rest, _ := bytes.Cut(line, []byte(" "))
		at := -1
		switch string(key) {
		case "cpu":
			// Kernels before 2.6.33 have fewer.
			for i := range cpu[:len(cpu)-1] {
				var ok bool
				if cpu[i], rest, ok = number(rest); ok {
					whole = whole || i >= 3
				}
				cpu[i] *= tick
			}
		case "ctxt":
			at = 0
		case "intr":
			at = 1
		case "processes":
			at = 2
		case "procs_blocked":
			at = 3
		default:
			if bytes.HasPrefix(key, []byte("cpu")) {
				*cpus++
			}
		}
		if at >= 0 && numbers(rest, events[at:at+1]) {
			seen++
		}
	}
	if whole {
		groups = append(groups, one(snapshot.CPUFigures, cpuFields, cpu...))
	}
	if seen == len(events) {
		groups = append(groups, one(snapshot.EventFigures, eventFields, events...))
	}
	return groups
}

// keyed reads a file of a name and a number a line. What this kernel does not tell is left out, as if
// there were no such field.
func keyed(group string, text []byte, end string, names, fields []string) []snapshot.Group {
	values, told := make([]int64, len(fields)), make([]bool, len(fields))
	many := 0
	for line := range bytes.Lines(text) {
		name, rest, _ := bytes.Cut(line, []byte(end))
		k := slices.IndexFunc(names, func(n string) bool { return n == string(name) })
		if k >= 0 && !told[k] && numbers(rest, values[k:k+1]) {
			told[k] = true
			many++
		}
	}
	switch many {
	case 0:
		return nil
	case len(fields):
		return []snapshot.Group{one(group, fields, values...)}
	}
	g := one(group, nil)
	for k, ok := range told {
		if ok {
			g.Fields, g.Values = append(g.Fields, fields[k]), append(g.Values, values[k])
		}
	}
	return []snapshot.Group{g}
}

// memory reads proc_meminfo(5).
func memory(_ *Meter, text []byte) []snapshot.Group {
	return keyed(snapshot.MemoryFigures, text, ":", memoryNames, memoryFields)
}

// paging reads proc_vmstat(5).
func paging(_ *Meter, text []byte) []snapshot.Group {
	return keyed(snapshot.PagingFigures, text, " ", pagingFields, pagingFields)
}

// net reads /proc/net/dev: below two lines of header a name, a colon, eight numbers of what is received
// and eight of what is sent, see proc_pid_net(5).
func net(m *Meter, text []byte) []snapshot.Group {
	g := snapshot.Group{Name: snapshot.NetFigures, Fields: netFields}
	for line := range bytes.Lines(text) {
		colon := bytes.LastIndexByte(line, ':')
		var n [16]int64
		if colon < 0 || !numbers(line[colon+1:], n[:]) {
			continue
		}
		g.Rows = append(g.Rows, m.name(bytes.TrimLeft(line[:colon], " ")))
		g.Values = append(append(g.Values, n[0:4]...), n[8:12]...)
	}
	if len(g.Rows) == 0 {
		return nil
	}
	return []snapshot.Group{g}
}

// disks reads /proc/diskstats, see Documentation/admin-guide/iostats.rst.
func disks(m *Meter, text []byte) []snapshot.Group {
	type disk struct {
		name string
		n    [10]int64
	}
	var all []disk
	var names []string
	for line := range bytes.Lines(text) {
		var d disk
		f := line
		ok := true
		for range 2 { // major and minor
			if _, f, ok = number(f); !ok {
				break
			}
		}
		name, rest, found := bytes.Cut(bytes.TrimLeft(f, " "), []byte(" "))
		if !ok || !found || stacked(name) || !numbers(rest, d.n[:]) {
			continue
		}
		d.name = m.name(name)
		all, names = append(all, d), append(names, d.name)
	}
	g := snapshot.Group{Name: snapshot.DiskFigures, Fields: diskFields}
	for i := range all {
		if d := &all[i]; !partition(d.name, names) {
			g.Rows = append(g.Rows, d.name)
			g.Values = append(g.Values, d.n[0], d.n[4], d.n[2]/2, d.n[6]/2, d.n[9]) // sectors are of 512 bytes
		}
	}
	return []snapshot.Group{g}
}

// notDisks are what devices are called that stand on others, or on memory: their transfers would count
// twice, or are none.
var notDisks = []string{"loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"}

func stacked(name []byte) bool {
	for _, kind := range notDisks {
		if len(name) > len(kind) && string(name[:len(kind)]) == kind && len(bytes.Trim(name[len(kind):], "0123456789")) == 0 {
			return true
		}
	}
	return false
}

// partition reports whether a device is part of another: sda1 of sda, nvme0n1p1 of nvme0n1.
func partition(name string, all []string) bool {
	disk := strings.TrimRight(name, "0123456789")
	if disk == name {
		return false
	}
	if base, ok := strings.CutSuffix(disk, "p"); ok && base != strings.TrimRight(base, "0123456789") {
		disk = base
	}
	return slices.Contains(all, disk)
}

// pressure reads the files of /proc/pressure: "some avg10=0.00 avg60=0.00 avg300=0.00 total=0", and the
// same of "full".
func (m *Meter) pressure() snapshot.Group {
	g := snapshot.Group{Name: snapshot.PressureFigures, Fields: pressureField}
	for _, of := range pressureRows {
		text, err := m.read("pressure/" + of)
		if err != nil {
			continue // a kernel without
		}
		var n [8]int64
		for line := range bytes.Lines(text) {
			at := 0
			if bytes.HasPrefix(line, []byte("full")) {
				at = 4
			}
			for i := range 4 {
				_, rest, _ := bytes.Cut(line, []byte("="))
				n[at+i], line, _ = number(rest)
			}
		}
		g.Rows, g.Values = append(g.Rows, of), append(g.Values, n[:]...)
	}
	return g
}
