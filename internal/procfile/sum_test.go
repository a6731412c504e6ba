package procfile

import (
	"os"
	"strings"
	"testing"

	"github.com/prometheus/procfs"
)

func TestSums(t *testing.T) {
	for name, tc := range map[string]struct {
		f    SumFunc
		in   []string
		want string
	}{
		"meminfo": {sumMeminfo,
			[]string{"MemTotal:       100 kB\nHugepagesize: 2048 kB\nHugePages_Total: 1\n", "MemTotal: 50 kB\nHugepagesize: 2048 kB\nHugePages_Total: 2\ngarbage\nX: y kB\n"},
			"MemTotal:            150 kB\nHugepagesize:       2048 kB\nHugePages_Total:        3\n"},
		"vmstat": {sumVmstat, []string{"pgin 1\npgout 2\n", "pgin 5\nbad\nworse x\n"}, "pgin 6\npgout 2\n"},
		"loadavg": {sumLoadavg, []string{"0.50 0.25 0.10 2/100 77\n", "1.00 1.00 1.00 1/50 9\n", "x\n"},
			"1.50 1.25 1.10 3/150 77\n"},
		"stat": {sumStat, []string{"cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 7 1 2\nctxt 5\nbtime 1\nprocesses 9\nprocs_running 1\nprocs_blocked 0\nsoftirq 3 1\n",
			"cpu  1 1 1 1 1 1 1 1 1 1\nctxt 18446744073709551615\n"},
			"cpu  2 3 4 5 6 7 8 9 10 11\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu1 1 1 1 1 1 1 1 1 1 1\nintr 7\nctxt 18446744073709551615\nbtime 99\nprocesses 9\nprocs_running 1\nprocs_blocked 0\nsoftirq 3 1 0 0 0 0 0 0 0 0 0\n"},
		// The mean of each node, and a line of one that tells nothing.
		"stat of many": {sumStat, []string{"cpu  100 80 60 40 0 0 0 0 0 3\ncpu0 50 40 30 20 0 0 0 0 0 2\ncpu1 50 40 30 20 0 0 0 0 0 1\n", "", "cpu  8\ncpu0 1\ncpu2 1\ncpu5 1\ncpu17 1\ncpufreq 5\n"},
			"cpu  52 40 30 20 0 0 0 0 0 1\ncpu0 50 40 30 20 0 0 0 0 0 1\ncpu1 0 0 0 0 0 0 0 0 0 0\ncpu2 2 0 0 0 0 0 0 0 0 0\nintr 0\nctxt 0\nbtime 99\nprocesses 0\nprocs_running 0\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n"},
		"cpuinfo": {sumCpuinfo, []string{"processor\t: 0\nmodel name\t: A\nphysical id\t: 7\ncpu cores\t: 9\n\nprocessor\t: 1\nmodel name\t: A\n", "", "processor\t: 0\nmodel name\t: B\n"},
			"processor\t: 0\nmodel name\t: A\nphysical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\nnode\t\t: a\nnode cpus\t: 2\n\n" +
				"processor\t: 1\nmodel name\t: unknown\nphysical id\t: 1\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\nnode\t\t: b\nnode cpus\t: 0\n\n" +
				"processor\t: 2\nmodel name\t: B\nphysical id\t: 2\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\nnode\t\t: c\nnode cpus\t: 1\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var parts []Part
			for i, in := range tc.in {
				parts = append(parts, Part{Node: string(rune('a' + i)), Index: i, Text: []byte(in), Hz: 100})
			}
			if got := string(tc.f(parts, Reader{BootTime: 99, Hz: 100})); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

// A cluster of this machine twice is one that the field's parser understands.
func TestParsesAsProc(t *testing.T) {
	dir := t.TempDir()
	for _, name := range SumNames() {
		raw, err := os.ReadFile("/proc/" + name)
		if err != nil {
			t.Fatal(err)
		}
		parts := []Part{{Node: "a", Text: raw, Hz: 100}, {Node: "b", Index: 1, Text: raw, Hz: 100}}
		if err := os.WriteFile(dir+"/"+name, Sum(name)(parts, Reader{BootTime: 1, Hz: 100}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fs, err := procfs.NewFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	stat, err := fs.Stat()
	if err != nil || len(stat.CPU) != 2 || stat.BootTime != 1 {
		t.Errorf("stat: %+v, %v", stat, err)
	}
	mem, err := fs.Meminfo()
	one, err1 := procfs.NewDefaultFS()
	if err != nil || err1 != nil {
		t.Fatal(err, err1)
	}
	if single, err := one.Meminfo(); err != nil || *mem.MemTotal != 2**single.MemTotal {
		t.Errorf("MemTotal %d, one node has %d (%v)", *mem.MemTotal, *single.MemTotal, err)
	}
	if _, err := fs.LoadAvg(); err != nil {
		t.Error(err)
	}
	if cpus, err := fs.CPUInfo(); err != nil || len(cpus) != 2 {
		t.Errorf("cpuinfo: %d entries, %v", len(cpus), err)
	}
}

func FuzzSums(f *testing.F) {
	for _, name := range SumNames() {
		raw, _ := os.ReadFile("/proc/" + name)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		parts := []Part{{Node: "a", Text: in, Hz: 100}, {Node: "b", Index: 1, Text: in, Hz: 1024}}
		for _, name := range SumNames() {
			out := Sum(name)(parts, Reader{Hz: 100})
			if strings.Count(string(out), "\n") > 2*strings.Count(string(in), "\n")+20 {
				t.Fatalf("%s grew to %d bytes from %d", name, len(out), len(in))
			}
		}
	})
}
