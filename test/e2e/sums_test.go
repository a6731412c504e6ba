package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/test/cluster"
)

// hostCounters are what this machine, of which each node is a part that tells of the
// whole, has counted.
func hostCounters(t *testing.T) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for _, file := range []string{"/proc/stat", "/proc/vmstat"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			for _, word := range f[1:] {
				n, _ := strconv.ParseFloat(word, 64)
				if all[f[0]] += n; f[0] != "cpu" {
					break
				}
			}
		}
	}
	return all
}

// An exporter and vmstat on the tree see no counter fall, and none grow by more than the
// machine has counted meanwhile, while a node is stopped, goes on, is killed and comes
// back.
func TestSums(t *testing.T) {
	const times = 3 // the head and two nodes tell of the same machine
	before := hostCounters(t)
	s := newSite(t, cluster.Options{Nodes: 2}, "timeouts: {read: 1s, connect: 1s}\n")
	dir, sick := s.mount(), s.cluster.Nodes[1]
	s.onAll("cat", "/proc/stat", "/proc/vmstat")
	grown := func(name string) float64 { return times * (hostCounters(t)[name] - before[name]) }

	address := freeAddress(t)
	ctx, cancel := context.WithCancel(t.Context())
	exporter := exec.CommandContext(ctx, "prometheus-node-exporter", "--path.procfs="+dir, "--web.listen-address="+address, "--collector.disable-defaults",
		"--collector.stat", "--collector.vmstat", "--collector.vmstat.fields=^(pgpg|pswp|pgfault|pgmajfault|oom_kill|pgfree|nr_dirtied)", "--collector.cpu", "--log.level=error")
	if err := exporter.Start(); err != nil {
		t.Fatalf("%v (it is in the Debian package prometheus-node-exporter)", err)
	}
	defer func() { cancel(); exporter.Wait() }()
	var first, last map[string]float64
	scrape := func() bool {
		answer, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil || !strings.Contains(string(body), "node_context_switches_total") {
			return false
		}
		now := map[string]float64{}
		for line := range strings.Lines(string(body)) {
			f := strings.Fields(line)
			if len(f) == 2 && strings.HasPrefix(line, "node_") && !strings.HasPrefix(line, "node_scrape") && !strings.HasPrefix(line, "node_procs") && !strings.HasPrefix(line, "node_boot") {
				now[f[0]], _ = strconv.ParseFloat(f[1], 64)
			}
		}
		for name, n := range last {
			if got, there := now[name]; !there || got < n {
				t.Errorf("%s fell from %v to %v (there: %v)", name, n, got, there)
			}
		}
		if last = now; first == nil {
			first = now
		}
		for metric, name := range map[string]string{"node_context_switches_total": "ctxt", "node_intr_total": "intr", "node_forks_total": "processes", "node_vmstat_pgfault": "pgfault", "node_vmstat_pgpgin": "pgpgin"} {
			if by, most := now[metric]-first[metric], grown(name); by > most {
				t.Errorf("%s has grown by %v, and this machine's by no more than %v", metric, by, most)
			}
		}
		return true
	}
	s.eventually("the exporter answers", scrape)
	if n := len(last); n < 20 {
		t.Fatalf("there are %d metrics: %v", n, last)
	}

	var table strings.Builder
	vmstat := exec.CommandContext(ctx, bin+"/aggrfs", "exec", "--server", s.server, "--", "vmstat", "-n", "1", "9")
	vmstat.Stdout, vmstat.Env = &table, append(os.Environ(), "LC_ALL=C.UTF-8")
	if err := vmstat.Start(); err != nil {
		t.Fatal(err)
	}
	state := func(want string) {
		t.Helper()
		s.eventually("n2 is "+want, func() bool {
			scrape()
			out, _ := s.aggrfs("nodes")
			for line := range strings.Lines(out) {
				if f := strings.Fields(line); f[0] == "n2" {
					return f[2] == want
				}
			}
			return false
		})
	}
	for _, step := range []struct {
		do   func() error
		want string
	}{{sick.Pause, "silent"}, {sick.Resume, "up"}, {sick.KillLeaf, "down"}, {sick.StartLeaf, "up"}} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		state(step.want)
		for range 3 {
			scrape()
		}
	}
	if err := vmstat.Wait(); err != nil {
		t.Errorf("vmstat: %v", err)
	}
	scrape()
	// All but the first line, which is since boot: columns 9 to 12 are blocks in and out,
	// interrupts and context switches a second.
	lines := strings.Split(strings.TrimSpace(table.String()), "\n")
	if len(lines) < 5 {
		t.Fatalf("vmstat prints\n%s", table.String())
	}
	for _, line := range lines[3:] {
		f := strings.Fields(line)
		for column, name := range map[int]string{8: "pgpgin", 9: "pgpgout", 10: "intr", 11: "ctxt"} {
			if n, err := strconv.ParseFloat(f[column], 64); err != nil || n < 0 || n > grown(name) {
				t.Errorf("%s is %s a second, more than there was in all (%v)\n%s", name, f[column], grown(name), table.String())
			}
		}
	}
}

// freeAddress is one on which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr())
}
