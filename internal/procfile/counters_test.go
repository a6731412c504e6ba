package procfile

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// value is one number of a line of a file.
func value(t *testing.T, text []byte, key string, column int) uint64 {
	t.Helper()
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > column && f[0] == key {
			n, err := strconv.ParseUint(f[column], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in\n%s", key, text)
	return 0
}

func statOf(n uint64) []byte {
	return fmt.Appendf(nil, "cpu  %d 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr %d 1 2\nctxt %[1]d\nbtime 5\nprocesses %[1]d\nprocs_running 3\nprocs_blocked 1\nsoftirq %[1]d 1 1 1 1 1 1 1 1 1 1\n", n, n)
}

func TestCounters(t *testing.T) {
	type step struct {
		boot string
		n    uint64
		want uint64
	}
	for name, steps := range map[string][]step{
		"growth":                            {{"a", 100, 100}, {"a", 150, 150}},
		"a reboot":                          {{"a", 100, 100}, {"b", 7, 107}, {"b", 20, 120}, {"c", 1, 121}},
		"a boot longer than the one before": {{"a", 100, 100}, {"b", 300, 400}},
		"older text comes late":             {{"a", 100, 100}, {"a", 98, 100}, {"a", 101, 101}},
		"text of the boot before":           {{"a", 100, 100}, {"b", 7, 107}, {"a", 101, 107}, {"b", 8, 108}},
		"a reboot without a name":           {{"", 100, 100}, {"", 7, 107}, {"", 9, 109}},
		"the name comes later":              {{"", 100, 100}, {"a", 120, 120}, {"", 130, 130}, {"b", 4, 134}},
		"it falls within a boot":            {{"a", 100, 100}, {"a", 7, 107}, {"a", 9, 109}},
		"more than fits":                    {{"a", 1<<64 - 2, 1<<64 - 2}, {"b", 7, 1<<64 - 1}, {"c", 7, 1<<64 - 1}},
	} {
		t.Run(name, func(t *testing.T) {
			stat, vmstat := NewCounters("stat", new(Layouts)), NewCounters("vmstat", new(Layouts))
			now := time.Unix(1e9, 0)
			for _, s := range steps {
				got := stat.Add(s.boot, statOf(s.n), 100, 100, now)
				for _, key := range []string{"cpu", "intr", "ctxt", "processes", "softirq"} {
					if n := value(t, got, key, 1); n != s.want {
						t.Errorf("%v: %s is %d", s, key, n)
					}
					if n := value(t, stat.Last(), key, 1); n != s.want {
						t.Errorf("%v: %s was last %d", s, key, n)
					}
				}
				got = vmstat.Add(s.boot, fmt.Appendf(nil, "nr_dirty %d\npgfault %[1]d\nnr_dirtied %[1]d\n", s.n), 100, 100, now)
				for _, key := range []string{"pgfault", "nr_dirtied"} {
					if n := value(t, got, key, 1); n != s.want {
						t.Errorf("%v: %s is %d", s, key, n)
					}
				}
				if last := string(vmstat.Last()); strings.Contains(last, "nr_dirty ") {
					t.Errorf("a gauge is remembered: %s", last)
				}
			}
		})
	}
}

// The text of a node that has had one boot passes as it is.
func TestCountersPass(t *testing.T) {
	for _, name := range []string{"stat", "vmstat"} {
		text, err := os.ReadFile("/proc/" + name)
		if err != nil {
			t.Fatal(err)
		}
		c := NewCounters(name, new(Layouts))
		for range 2 {
			if got := c.Add("a", text, 100, 100, time.Now()); &got[0] != &text[0] {
				t.Errorf("%s is made anew", name)
			}
		}
		if got, want := Sum(name)([]Part{{Text: c.Last(), Hz: 100}}, Reader{Hz: 100}), Sum(name)([]Part{{Text: text, Hz: 100}}, Reader{Hz: 100}); name == "stat" {
			cut := func(b []byte) string { s, _, _ := strings.Cut(string(b), "btime"); return s }
			if cut(got) != cut(want) {
				t.Errorf("the counters of stat are\n%s\nwant\n%s", got, want)
			}
		}
	}
}

// Which lines of this kernel's vmstat are gauges: those by which free, vmstat -s and
// node_exporter know how much there is.
func TestVmstatGauges(t *testing.T) {
	gauges := strings.Fields("nr_free_pages nr_zone_inactive_anon nr_mlock nr_active_file nr_slab_reclaimable nr_isolated_anon workingset_nodes nr_anon_pages nr_mapped nr_dirty nr_writeback nr_shmem nr_kernel_stack nr_page_table_pages nr_swapcached nr_dirty_threshold nr_unstable nr_hugetlb")
	counters := strings.Fields("pgpgin pgpgout pswpin pswpout pgfault pgmajfault pgfree numa_hit workingset_refault_anon workingset_nodereclaim nr_vmscan_write nr_dirtied nr_written nr_throttled_written nr_foll_pin_acquired nr_tlb_remote_flush oom_kill thp_fault_alloc swap_ra zswpin allocstall pgpromote_success")
	for _, key := range append(slices.Clone(gauges), counters...) {
		if got, want := vmstatGauge([]byte(key)), slices.Contains(gauges, key); got != want {
			t.Errorf("%s is a gauge: %v", key, got)
		}
	}
}

// A line that is there twice counts once, as it does when the node does not answer.
func TestCountersTwice(t *testing.T) {
	c := NewCounters("vmstat", new(Layouts))
	text := c.Add("a", []byte("pgfault 5\npgfault 6\nnr_dirty 1\n 7\n"), 100, 100, time.Now())
	if got := string(sumVmstat([]Part{{Text: text}}, Reader{})); got != "pgfault 6\nnr_dirty 1\n 7\n" && got != "pgfault 6\nnr_dirty 1\n" {
		t.Errorf("%q", got)
	}
}

// Ticks of another length are turned into the reader's before they are remembered.
func TestCountersTicks(t *testing.T) {
	c := NewCounters("stat", new(Layouts))
	c.Add("a", statOf(1024), 1024, 100, time.Now())
	if got := value(t, c.Last(), "cpu", 1); got != 100 {
		t.Errorf("1024 ticks of 1/1024 s are %d of 1/100 s", got)
	}
	if got := value(t, c.Add("b", statOf(300), 100, 100, time.Now()), "cpu", 1); got != 400 {
		t.Errorf("after a reboot there are %d", got)
	}
}

// Processor time is that of the mean processor, and goes on from where it was when there are
// more of them, or fewer.
func TestCountersProcessors(t *testing.T) {
	c := NewCounters("stat", new(Layouts))
	stat := func(ticks uint64, processors int) []byte {
		text := fmt.Appendf(nil, "cpu  %d 0 0 0 0 0 0 0 0 0\n", ticks)
		for i := range processors {
			text = fmt.Appendf(text, "cpu%d 1 0 0 0 0 0 0 0 0 0\n", i)
		}
		return text
	}
	for _, step := range []struct {
		boot       string
		ticks      uint64
		processors int
		want       int
	}{
		{"a", 400, 4, 100}, {"a", 440, 4, 110}, {"a", 440, 8, 110}, {"a", 520, 8, 120}, // 10 by each of 8
		{"a", 600, 4, 130}, // of 8 still
		{"b", 20, 2, 140}, {"b", 40, 2, 150},
	} {
		text := c.Add(step.boot, stat(step.ticks, step.processors), 100, 100, time.Unix(1e9, 0))
		for _, text := range [][]byte{text, c.Last()} {
			sum := Sum("stat")([]Part{{Text: text, Hz: 100}}, Reader{Hz: 100})
			if got := value(t, sum, "cpu0", 1); got != uint64(step.want) {
				t.Errorf("%v: the mean processor has %d", step, got)
			}
		}
	}
}

// Whatever nodes say, no number ever falls.
func FuzzCounters(f *testing.F) {
	f.Add([]byte("cpu 5 6\nctxt 7\n"), []byte("ctxt 3\ncpu 1\npgfault 4\n"), "a", "b")
	f.Add([]byte("pgfault 9\nnr_dirty 3"), []byte("pgfault 4\npgfault 99999999999999999999\n"), "", "a")
	f.Fuzz(func(t *testing.T, one, two []byte, boot1, boot2 string) {
		for _, name := range []string{"stat", "vmstat"} {
			c := NewCounters(name, new(Layouts))
			last := map[string]uint64{}
			for i, text := range [][]byte{one, two, one, two} {
				c.Add([]string{boot1, boot2}[i%2], text, 100, 250, time.Unix(int64(i)*60, 0))
				for line := range strings.Lines(string(c.Last())) {
					fields := strings.Split(strings.TrimSuffix(line, "\n"), " ")
					for k, word := range fields[1:] {
						n, err := strconv.ParseUint(word, 10, 64)
						if key := fields[0] + fmt.Sprint(k); err != nil || n < last[key] {
							t.Fatalf("%s: %s fell from %d to %s", name, key, last[key], word)
						} else {
							last[key] = n
						}
					}
				}
			}
		}
	})
}
