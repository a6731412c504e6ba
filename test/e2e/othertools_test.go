package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/procfs"

	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/wait"
)

// psutilScript prints what psutil tells of each process of a /proc, by pid.
const psutilScript = `
import json, sys, psutil
psutil.PROCFS_PATH = sys.argv[1]
def of(p, what):
    try:
        return what(p)
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess) as e:
        return type(e).__name__
all = {}
for p in psutil.process_iter():
    if of(p, lambda p: p.name()).startswith("python"):
        continue
    all[p.pid] = [of(p, f) for f in (
        lambda p: p.ppid(), lambda p: p.name(), lambda p: p.cmdline(), lambda p: p.exe(), lambda p: p.cwd(), lambda p: list(p.uids()), lambda p: list(p.gids()),
        lambda p: p.num_threads(), lambda p: p.status(), lambda p: p.terminal(), lambda p: sorted(p.environ().items()), lambda p: p.memory_info().vms, lambda p: round(p.create_time()),
        lambda p: sorted(m.path for m in p.memory_maps()), lambda p: p.num_fds())]
print(json.dumps(all))
`

// psutil on the tree tells of the node's processes what it tells on the node.
func TestPsutil(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	n, dir := s.cluster.Nodes[0], s.mount()
	ask := func(out string) map[string][]any {
		t.Helper()
		all := map[string][]any{}
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			t.Fatalf("%v: %q", err, out)
		}
		return all
	}
	there := ask(s.onNode(n, "/usr/bin/python3", "-c", psutilScript, "/proc"))
	out, err := output(exec.Command("/usr/bin/python3", "-c", psutilScript, filepath.Join(dir, "sets", "n1")))
	if err != nil {
		t.Fatal(err)
	}
	here := ask(out)
	compared := 0
	for pid, want := range there {
		number, _ := strconv.Atoi(pid)
		got, ok := here[strconv.Itoa(10_000_000+number)]
		if want[1] == "procsrv" { // it is at work
			continue
		}
		if ppid := want[0].(float64); ppid != 0 {
			want[0] = ppid + 10_000_000
		}
		if !ok {
			t.Errorf("%s (%v) is missing", pid, want[1])
			continue
		}
		if a, b := got[12].(float64), want[12].(float64); a-b > 1 || b-a > 1 {
			t.Errorf("%s began at %v, on the node at %v", pid, a, b)
		}
		got[12], want[12] = nil, nil
		if a, b := fmt.Sprint(got), fmt.Sprint(want); a != b {
			t.Errorf("%s:\n%s\non the node:\n%s", pid, a, b)
		}
		compared++
	}
	if compared < 8 {
		t.Errorf("only %d processes", compared)
	}
}

// htop shows the processes of all nodes.
func TestHtop(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "")
	for _, flags := range []string{"", "--prefetched"} {
		x := newTerminal(t, fmt.Sprintf("%s exec --server %s --nodes 'n[1-2]' %s -- htop -d 10", filepath.Join(bin, "aggrfs"), s.server, flags))
		want := []string{"10000001", "20000001", "solver --user bob --node n1", "solver --user bob --node n2", "job of alice on n2", "Load average"}
		x.await("htop "+flags, func(screen string) error {
			for _, w := range want {
				if !strings.Contains(screen, w) {
					return fmt.Errorf("%q is not on the screen", w)
				}
			}
			return nil
		})
		x.typeKeys("q")
		x.ended()
	}
}

var lsofNote = regexp.MustCompile(` \((?:path|stat:|deleted).*| type=.*`)

// lsof finds the names of what the processes of a node have open.
func TestLsof(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	n := s.cluster.Nodes[0]
	pids := strings.Fields(s.onNode(n, "pgrep", "-x", "sleep"))
	names := func(text string) (all []string) {
		for line := range strings.Lines(text) {
			if name, ok := strings.CutPrefix(strings.TrimSpace(line), "n"); ok {
				all = append(all, lsofNote.ReplaceAllString(name, ""))
			}
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	for _, pid := range pids[:2] {
		number, _ := strconv.Atoi(pid)
		want := names(s.onNode(n, "lsof", "-w", "-n", "-p", pid, "-F", "n"))
		got := names(s.onTree("lsof", "-w", "-n", "-p", strconv.Itoa(10_000_000+number), "-F", "n"))
		if !slices.Equal(got, want) || len(want) < 4 {
			t.Errorf("of %s: %q, on the node %q", pid, got, want)
		}
	}
}

// github.com/prometheus/procfs reads the tree as it reads a /proc.
func TestPrometheusProcfs(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	dir := s.mount()
	for _, root := range []string{filepath.Join(dir, "sets", "n1"), filepath.Join(dir, "nodes", "n1")} {
		fs, err := procfs.NewFS(root)
		if err != nil {
			t.Fatal(err)
		}
		procs, err := fs.AllProcs()
		if err != nil || len(procs) < 8 {
			t.Fatalf("%s: %d processes, %v", root, len(procs), err)
		}
		solvers := 0
		for _, p := range procs {
			stat, err := p.Stat()
			if err != nil {
				t.Errorf("%s/%d: %v", root, p.PID, err)
				continue
			}
			status, err := p.NewStatus()
			if err != nil || status.TGID != p.PID || stat.PID != p.PID {
				t.Errorf("%s/%d: pid %d in stat, %d in status, %v", root, p.PID, stat.PID, status.TGID, err)
			}
			args, err := p.CmdLine()
			if err == nil && len(args) > 0 && args[0] == "solver" {
				solvers++
				if fmt.Sprint(args) != "[solver --user bob --node n1]" || stat.NumThreads < 2 {
					t.Errorf("%s/%d: %q, %d threads", root, p.PID, args, stat.NumThreads)
				}
			}
		}
		if solvers != 1 {
			t.Errorf("%s: %d solvers", root, solvers)
		}
		if m, err := fs.Meminfo(); err != nil || m.MemTotal == nil || *m.MemTotal == 0 {
			t.Errorf("%s: meminfo: %v", root, err)
		}
		if st, err := fs.Stat(); err != nil || st.BootTime == 0 || len(st.CPU) == 0 {
			t.Errorf("%s: stat: %v", root, err)
		}
		if l, err := fs.LoadAvg(); err != nil || l.Load1 < 0 {
			t.Errorf("%s: loadavg: %v", root, err)
		}
	}
}

// The node exporter on a node's part of the tree has the metrics that it has on the
// node.
func TestNodeExporter(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	n, dir := s.cluster.Nodes[0], s.mount()
	scrape := func(start func(ctx context.Context, argv ...string) *exec.Cmd, procfs string) map[string]string {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		l.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*wait.Patience)
		defer cancel()
		cmd := start(ctx, "prometheus-node-exporter", "--path.procfs="+procfs, "--path.sysfs=/proc", "--web.listen-address="+address, "--collector.disable-defaults",
			"--collector.meminfo", "--collector.stat", "--collector.loadavg", "--collector.filefd", "--collector.vmstat", "--collector.netdev", "--collector.pressure", "--collector.sockstat")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatalf("%v (it is in the Debian package prometheus-node-exporter)", err)
		}
		defer func() {
			cmd.Process.Signal(syscall.SIGTERM)
			cmd.Wait()
		}()
		var text []byte
		err = wait.Poll(t.Context(), func() error {
			response, err := http.Get("http://" + address + "/metrics")
			if err != nil {
				return err
			}
			defer response.Body.Close()
			text, err = io.ReadAll(response.Body)
			return err
		})
		if err != nil {
			t.Fatalf("%v: %s", err, &stderr)
		}
		all := map[string]string{}
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(name, "node_") {
				all[name] = value
			}
		}
		return all
	}
	here := func(ctx context.Context, argv ...string) *exec.Cmd {
		return exec.CommandContext(ctx, argv[0], argv[1:]...)
	}
	want, got := scrape(n.Command, "/proc"), scrape(here, filepath.Join(dir, "nodes", "n1"))
	if len(want) < 100 {
		t.Fatalf("only %d metrics on the node", len(want))
	}
	for name, value := range want {
		if strings.HasPrefix(name, "node_exporter_build") || strings.HasPrefix(name, "node_scrape_collector_duration") || strings.HasPrefix(name, "node_cpu_guest") {
			continue
		}
		other, ok := got[name]
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		switch name {
		case "node_memory_MemTotal_bytes", "node_boot_time_seconds", "node_filefd_maximum", "node_memory_SwapTotal_bytes", `node_scrape_collector_success{collector="meminfo"}`,
			`node_scrape_collector_success{collector="stat"}`, `node_scrape_collector_success{collector="vmstat"}`, `node_scrape_collector_success{collector="pressure"}`:
			if other != value {
				t.Errorf("%s is %s, on the node %s", name, other, value)
			}
		}
	}
}
