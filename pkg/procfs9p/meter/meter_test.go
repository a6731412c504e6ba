package meter

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/blockdevice"
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

// The figures of this machine are what its own files say, and there is a group of each that
// this kernel has.
func TestFigures(t *testing.T) {
	f := New("/proc").Figures(t.Context())
	for _, name := range []string{
		snapshot.ClockFigures, snapshot.LoadFigures, snapshot.CPUFigures, snapshot.EventFigures, snapshot.MemoryFigures,
		snapshot.PagingFigures, snapshot.NetFigures, snapshot.DiskFigures,
	} {
		g := f.Group(name)
		if g == nil || len(g.Rows)*len(g.Fields) != len(g.Values) {
			t.Errorf("group %s is %+v", name, g)
		}
	}
	if _, err := os.Stat("/proc/pressure/cpu"); err == nil && f.Group(snapshot.PressureFigures) == nil {
		t.Error("no pressure")
	}
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	total, ok := f.Value(snapshot.MemoryFigures, "total")
	if want := strings.Fields(string(text))[1]; !ok || want == "" || !strings.HasPrefix(want, strconv.FormatInt(total, 10)) {
		t.Errorf("MemTotal is %d, want %s", total, want)
	}
	clocks, _ := f.Value(snapshot.ClockFigures, "real")
	if off := time.Since(time.Unix(0, clocks)); off < 0 || off > time.Minute {
		t.Errorf("the clock is off by %v", off)
	}
	if lo := slices.Index(f.Group(snapshot.NetFigures).Rows, "lo"); lo < 0 {
		t.Error("no lo")
	}
}

// The figures are what the field's parser reads of the same files, taken between two looks of it.
func TestFiguresAreTheParsers(t *testing.T) {
	fs, err := procfs.NewFS("/proc")
	if err != nil {
		t.Fatal(err)
	}
	disks, err := blockdevice.NewFS("/proc", "/sys")
	if err != nil {
		t.Fatal(err)
	}
	look := func() map[string]float64 {
		all := map[string]float64{}
		s, err := fs.Stat()
		if err != nil {
			t.Fatal(err)
		}
		c := s.CPUTotal
		for name, v := range map[string]float64{"user": c.User, "nice": c.Nice, "system": c.System, "irq": c.IRQ, "softirq": c.SoftIRQ, "steal": c.Steal, "guest": c.Guest} {
			all["cpu//"+name] = v * 1000
		}
		all["cpu//cpus"] = float64(len(s.CPU))
		all["events//ctxt"], all["events//intr"], all["events//forks"] = float64(s.ContextSwitches), float64(s.IRQTotal), float64(s.ProcessCreated)
		i, err := fs.Meminfo()
		if err != nil {
			t.Fatal(err)
		}
		all["memory//total"], all["memory//swap_total"] = float64(*i.MemTotal), float64(*i.SwapTotal)
		devices, err := fs.NetDev()
		if err != nil {
			t.Fatal(err)
		}
		for name, d := range devices {
			for field, v := range map[string]uint64{"rx_bytes": d.RxBytes, "rx_packets": d.RxPackets, "rx_errors": d.RxErrors, "rx_dropped": d.RxDropped, "tx_bytes": d.TxBytes, "tx_packets": d.TxPackets, "tx_errors": d.TxErrors, "tx_dropped": d.TxDropped} {
				all["net/"+name+"/"+field] = float64(v)
			}
		}
		stats, err := disks.ProcDiskstats()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range stats {
			for field, v := range map[string]uint64{"reads": d.ReadIOs, "writes": d.WriteIOs, "read_kib": d.ReadSectors / 2, "write_kib": d.WriteSectors / 2, "busy": d.IOsTotalTicks} {
				all["disk/"+d.DeviceName+"/"+field] = float64(v)
			}
		}
		for _, of := range pressureRows {
			if p, err := fs.PSIStatsForResource(of); err == nil && p.Some != nil {
				all["pressure/"+of+"/some"] = float64(p.Some.Total)
			}
		}
		return all
	}
	before := look()
	f := New("/proc").Figures(t.Context())
	after := look()
	compared := map[string]int{}
	for _, g := range f.Groups() {
		for i, row := range g.Rows {
			for _, field := range g.Fields {
				key := g.Name + "/" + row + "/" + field
				low, ok := before[key]
				if !ok {
					continue
				}
				compared[g.Name]++
				got, _ := g.Value(i, field)
				// The parser goes by way of floating point: a tick may be rounded.
				if float64(got) < low-10 || float64(got) > after[key]+10 {
					t.Errorf("%s is %d, by the parser %v and then %v", key, got, low, after[key])
				}
			}
		}
	}
	for _, name := range []string{"cpu", "events", "memory", "net", "disk"} {
		if compared[name] == 0 {
			t.Errorf("nothing of %s was compared", name)
		}
	}
}

// A file that makes no sense costs its own groups alone.
func TestBrokenFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"stat": "cpu 1\nintr\nctxt x\n", "meminfo": "MemTotal: 12 kB\n", "loadavg": "0.10 0.20 3", "vmstat": "pgfault 7\nother x\n",
		"net/dev": "a\nb\nlo:1 2\n", "diskstats": "8 0 sda\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := New(dir).Figures(t.Context())
	if total, ok := f.Value(snapshot.MemoryFigures, "total"); !ok || total != 12 {
		t.Errorf("memory: %d %v", total, ok)
	}
	if _, ok := f.Value(snapshot.MemoryFigures, "free"); ok {
		t.Error("free is told where the kernel does not tell it")
	}
	if n, ok := f.Value(snapshot.PagingFigures, "pgfault"); !ok || n != 7 {
		t.Errorf("pgfault: %d %v", n, ok)
	}
	if f.Group(snapshot.LoadFigures) != nil || f.Group(snapshot.NetFigures) != nil {
		t.Errorf("%+v", f.Groups())
	}
}

func TestWholeDisk(t *testing.T) {
	all := []string{"sda", "sda1", "nvme0n1", "nvme0n1p1", "vda", "vda15", "loop0", "dm-0", "md127", "ram1", "sr0", "mmcblk0", "mmcblk0p2", "xvdb1", "nbd0", "mdraid"}
	want := []string{"sda", "nvme0n1", "vda", "mmcblk0", "xvdb1", "mdraid"}
	got := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return stacked([]byte(name)) || partition(name, all) })
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A file system that does not answer is left behind, costs its own row alone, and is not asked again
// before it has answered.
func TestStuckFileSystem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mountinfo")
	text := "30 1 8:1 / / rw - ext4 /dev/sda1 rw\n31 1 8:2 / /data\\040a rw - xfs /dev/sda2 rw\n32 1 0:40 / /home rw - nfs4 server:/ rw\n33 1 8:1 / /again rw - ext4 /dev/sda1 rw\n34 1 0:5 / /run rw - tmpfs tmpfs rw\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSpace(path)
	release := make(chan struct{})
	var stuck atomic.Int32
	s.statfs = func(dir string, into *unix.Statfs_t) error {
		if dir == "/" {
			stuck.Add(1)
			<-release
		}
		*into = unix.Statfs_t{Blocks: 1000, Bfree: 500, Bavail: 400, Frsize: 4096}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 3 {
		s.taken = time.Time{}
		g := s.group(ctx)
		if !slices.Equal(g.Rows, []string{"/data a"}) || !slices.Equal(g.Values, []int64{4000, 2000, 1600}) {
			t.Errorf("%+v", g)
		}
	}
	if n := stuck.Load(); n != 1 {
		t.Errorf("/ was asked %d times before it had answered", n)
	}
	close(release)
	deadline := time.Now().Add(10 * time.Second)
	for s.taken = (time.Time{}); len(s.group(ctx).Rows) != 2; s.taken = (time.Time{}) {
		if time.Now().After(deadline) {
			t.Fatal("it never answers again")
		}
	}
}

func BenchmarkFigures(b *testing.B) {
	m := New("/proc")
	for b.Loop() {
		m.Figures(b.Context())
	}
}

// BenchmarkBare reads the same files and does nothing with them.
func BenchmarkBare(b *testing.B) {
	buf := make([]byte, 64<<10)
	for b.Loop() {
		for _, name := range []string{"loadavg", "stat", "meminfo", "vmstat", "net/dev", "diskstats", "pressure/cpu", "pressure/memory", "pressure/io"} {
			fd, err := unix.Open("/proc/"+name, unix.O_RDONLY, 0)
			if err != nil {
				continue
			}
			for {
				if n, err := unix.Read(fd, buf); n <= 0 || err != nil {
					break
				}
			}
			unix.Close(fd)
		}
	}
}
