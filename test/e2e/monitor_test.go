package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/cluster"
)

// A sampledTable is a file of cluster/ in JSON.
type sampledTable struct {
	Interval *float64
	Missing  []any
	Rows     []map[string]any
}

// row is the row whose cell in that column is that.
func (s *sampledTable) row(column string, cell any) map[string]any {
	for _, row := range s.Rows {
		if row[column] == cell {
			return row
		}
	}
	return nil
}

// sampled reads a file of cluster/ in JSON over 9P, as who.
func sampled(ctx context.Context, root vfs.Dir, path ...string) (s sampledTable, err error) {
	text, err := vfs.ReadFile(ctx, root, 16<<20, append([]string{"cluster"}, path...)...)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	return s, err
}

// attach is the tree as who sees it.
func (s *site) attach(ctx context.Context, who vfs.Identity) vfs.Dir {
	s.t.Helper()
	root, err := s.client(ctx).Attach(ctx, who, "")
	if err != nil {
		s.t.Fatal(err)
	}
	return root.(vfs.Dir)
}

// A usage is how much processor time a process has had at moments, in ticks.
type usage struct {
	at    []float64 // seconds of CLOCK_MONOTONIC
	ticks []float64
}

// note notes what stat says now.
func (u *usage) note(pid int) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return err
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	u.at, u.ticks = append(u.at, float64(now.Nano())/1e9), append(u.ticks, user+system)
	return nil
}

// between is a value at x, on the lines between points of which xs do not fall.
func between(xs, ys []float64, x float64) (y float64, ok bool) {
	k, _ := slices.BinarySearch(xs, x)
	if k == 0 || k == len(xs) {
		return 0, false
	}
	if xs[k] == xs[k-1] {
		return ys[k], true
	}
	return ys[k-1] + (ys[k]-ys[k-1])*(x-xs[k-1])/(xs[k]-xs[k-1]), true
}

// What a process uses, by cluster/top, is what its own stat on its node says of that interval: within
// a tick of the interval and one point.
func TestTopIsTheNodes(t *testing.T) {
	const duty = "i=0; while :; do i=$((i+1)); if [ $i = 3000 ]; then i=0; sleep 0.01; fi; done"
	s := newSite(t, cluster.Options{Nodes: 1, Workload: func(string) []cluster.Process {
		return []cluster.Process{{UID: cluster.Alice, GID: cluster.Alice, Argv: []string{"sh", "-c", duty, "duty"}}}
	}}, "")
	n := s.cluster.Nodes[0]
	pid, err := strconv.Atoi(strings.TrimSpace(s.onNode(n, "pgrep", "-f", "duty$")))
	if err != nil {
		t.Fatal(err)
	}
	host, err := n.HostPID(pid)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var u usage
	ctx, stop := context.WithCancel(t.Context())
	var noting sync.WaitGroup
	noting.Go(func() {
		for ctx.Err() == nil {
			mu.Lock()
			err := u.note(host)
			mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
	defer noting.Wait()
	defer stop()
	root := s.attach(ctx, vfs.Root)
	const wanted = 3
	equal := 0
	var last float64
	s.eventuallyNil("%CPU is what stat says", func() error {
		top, err := sampled(ctx, root, "every", "1s", "top.json")
		if err != nil {
			return err
		}
		row := top.row("npid", float64(pid))
		if row == nil || top.Interval == nil || row["%cpu"] == nil {
			return fmt.Errorf("top has %v", row)
		}
		ticks := row["time"].(float64) * 100
		if ticks == last {
			return errors.New("no other sample yet")
		}
		last = ticks
		mu.Lock()
		defer mu.Unlock()
		// It was sampled when stat said so much.
		end, ok := between(u.ticks, u.at, ticks-0.5)
		before, there := between(u.at, u.ticks, end-*top.Interval)
		if !ok || !there {
			return errors.New("the node was not looked at then")
		}
		want := (ticks - before) / *top.Interval
		got := row["%cpu"].(float64)
		if off := math.Abs(got - want); off > 1 / *top.Interval + 1 {
			return fmt.Errorf("%v%%, and by stat %v%%, over %vs", got, want, *top.Interval)
		}
		if equal++; equal < wanted {
			return fmt.Errorf("%d of %d samples are equal", equal, wanted)
		}
		return nil
	})
}

// Load and memory are those of the node's own files.
func TestFiguresAreTheNodes(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	n := s.cluster.Nodes[0]
	root := s.attach(t.Context(), vfs.Root)
	field := func(text, name string) (n float64) {
		_, rest, _ := strings.Cut("\n"+text, "\n"+name)
		fmt.Sscan(rest, &n)
		return n
	}
	s.eventuallyNil("load and memory are the node's", func() error {
		before := s.onNode(n, "cat", "/proc/loadavg", "/proc/meminfo")
		load, err := sampled(t.Context(), root, "every", "100ms", "load.json")
		if err != nil {
			return err
		}
		mem, err := sampled(t.Context(), root, "every", "100ms", "mem.json")
		if err != nil {
			return err
		}
		after := s.onNode(n, "cat", "/proc/loadavg", "/proc/meminfo")
		l, m := load.row("node", n.Name), mem.row("node", n.Name)
		if l == nil || m == nil {
			return fmt.Errorf("load %v, memory %v", load, mem)
		}
		for i, column := range []string{"load1", "load5", "load15"} {
			a, _ := strconv.ParseFloat(strings.Fields(before)[i], 64)
			b, _ := strconv.ParseFloat(strings.Fields(after)[i], 64)
			if got := l[column]; got != a && got != b {
				return fmt.Errorf("%s is %v, on the node %v and %v", column, got, a, b)
			}
		}
		for column, name := range map[string]string{"total": "MemTotal:", "swaptotal": "SwapTotal:", "buffers": "Buffers:"} {
			a, b := field(before, name), field(after, name)
			if got := m[column].(float64); got < min(a, b) || got > max(a, b) {
				return fmt.Errorf("%s is %v, on the node %v and %v", column, got, a, b)
			}
		}
		for column, name := range map[string]string{"free": "MemFree:", "available": "MemAvailable:", "cached": "Cached:"} {
			// Within a hundredth of the memory: it goes up and down between the looks.
			a, b, slack := field(before, name), field(after, name), m["total"].(float64)/100
			if got := m[column].(float64); got < min(a, b)-slack || got > max(a, b)+slack {
				return fmt.Errorf("%s is %v, on the node %v and %v", column, got, a, b)
			}
		}
		if off := math.Abs(l["offset"].(float64)); off > 1000 {
			return fmt.Errorf("the clock of this machine is off by %v ms", off)
		}
		return nil
	})
}

// sender sends frames from one end of a pair of interfaces to the other, at an even pace.
const sender = `
import socket, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("v0", 0))
frame = b"\xff" * 6 + b"\x02" * 6 + b"\x88\xb5" + b"x" * 1000
start, sent = time.monotonic(), 0
while True:
    while sent < (time.monotonic() - start) * 500: s.send(frame); sent += 1
    time.sleep(0.002)
`

// writer writes to the disk beneath a directory, at an even pace.
const writer = `
import mmap, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600)
block = mmap.mmap(-1, 1 << 20); start, written = time.monotonic(), 0
while True:
    while written < (time.monotonic() - start) * 20: os.pwrite(fd, block, written % 16 << 20); written += 1
    time.sleep(0.01)
`

// averages runs a command of sysstat for one interval and returns its lines of averages, or the lines
// after the header, by their first word, as numbers.
func averages(ctx context.Context, argv ...string) (lines map[string][]float64, err error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "S_TIME_FORMAT=ISO")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%v: %w (sar and iostat are in the Debian package sysstat)", argv, err)
	}
	lines = map[string][]float64{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(strings.TrimPrefix(line, "Average:"))
		if len(f) < 4 || strings.Contains(argv[0], "nsenter") && !strings.HasPrefix(line, "Average:") {
			continue
		}
		var numbers []float64
		for _, word := range f[1:] {
			n, err := strconv.ParseFloat(word, 64)
			if err != nil {
				numbers = nil
				break
			}
			numbers = append(numbers, n)
		}
		if numbers != nil {
			lines[f[0]] = numbers
		}
	}
	return lines, nil
}

// Rates of interfaces and of disks are those of sar and iostat, within 2 %. The front end has a network
// namespace of its own, in which nothing else is sent; what the disk does besides is seen by both.
func TestRatesAreSysstats(t *testing.T) {
	programs := t.TempDir()
	pidFile := filepath.Join(programs, "pid")
	wrapper := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = serve ]; then\necho $$ >%s\nexec unshare -n sh -c 'ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up && exec %s \"$@\"' sh \"$@\"\nfi\nexec %[2]s \"$@\"\n",
		pidFile, filepath.Join(bin, "aggrfs"))
	if err := os.WriteFile(filepath.Join(programs, "aggrfs"), []byte(wrapper), 0o755); err != nil {
		t.Fatal(err)
	}
	s := newSiteBy(t, programs, cluster.Options{Nodes: 1, ProcsrvPath: filepath.Join(bin, "procsrv")}, "")
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	server := strings.TrimSpace(string(text))
	ctx, stop := context.WithCancel(t.Context())
	inside := []string{"nsenter", "-t", server, "-n", "--"}
	scratch, err := os.CreateTemp(".", "rates-")
	if err != nil {
		t.Fatal(err)
	}
	scratch.Close()
	defer os.Remove(scratch.Name())
	for _, argv := range [][]string{append(slices.Clone(inside), "python3", "-c", sender), {"python3", "-c", writer, scratch.Name()}} {
		cmd := exec.Command(argv[0], argv[1:]...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer cmd.Process.Kill()
	}
	defer stop()
	root := s.attach(ctx, vfs.Root)
	const every, seconds = "4s", "4"
	near := func(what string, got any, want float64) error {
		n, ok := got.(float64)
		if !ok || want <= 0 || math.Abs(n-want) > want*0.02 {
			return fmt.Errorf("%s is %v, by sysstat %v", what, got, want)
		}
		return nil
	}
	// both takes what sysstat says of a time, and what the file says of about the same.
	both := func(file string, argv ...string) (row map[string]any, theirs map[string][]float64, err error) {
		if _, err = sampled(ctx, root, "every", every, file); err != nil {
			return nil, nil, err
		}
		if theirs, err = averages(ctx, argv...); err != nil {
			t.Fatal(err)
		}
		table, err := sampled(ctx, root, "every", every, file)
		return table.row("node", "head"), theirs, err
	}
	s.eventuallyNil("the network", func() error {
		row, theirs, err := both("net.json", append(slices.Clone(inside), "sar", "-n", "DEV", seconds, "1")...)
		if err != nil {
			return err
		}
		var packets, kib float64
		for _, name := range []string{"v0", "v1"} {
			if of := theirs[name]; len(of) > 3 {
				packets, kib = packets+of[0], kib+of[2]
			}
		}
		return errors.Join(near("packets a second", row["rxpck"], packets), near("KiB a second", row["rxkib"], kib))
	})
	s.eventuallyNil("the disks", func() error {
		row, theirs, err := both("disk.json", "iostat", "-d", "-k", "-y", seconds, "1")
		if err != nil {
			return err
		}
		written := 0.0
		for name, of := range theirs {
			if name == row["busiest"] && len(of) > 2 {
				written = of[2]
			}
		}
		return near("KiB written a second", row["writekib"], written)
	})
}

// A user sees their own processes in every file of samples, in text and in JSON, over FUSE and over
// 9P, and of a node what its own files would show them.
func TestMonitorShowsTheirOwn(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "views: [{users: [\"1001\"], nodes: \"n1\", processes: own}]\n")
	all := s.attach(t.Context(), vfs.Root)
	mine := s.attach(t.Context(), alice)
	files := func(root vfs.Dir) (names []string) {
		t.Helper()
		d, _, err := vfs.WalkPath(t.Context(), root, "cluster")
		if err != nil {
			t.Fatal(err)
		}
		h, err := d.(vfs.Dir).List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		entries, err := h.ReadDir(t.Context(), 0, nil, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Type == vfs.TypeFile {
				names = append(names, e.Name)
			}
		}
		return names
	}
	for _, file := range []string{"users.json", "commands.json", "top.json"} {
		table, err := sampled(t.Context(), all, file)
		if err != nil || !strings.Contains(fmt.Sprint(table.Rows), "solver") && !strings.Contains(fmt.Sprint(table.Rows), nameOf(cluster.Bob)) && file != "top.json" {
			t.Errorf("root sees in %s %v, %v", file, table.Rows, err)
		}
	}
	names := files(mine)
	for _, name := range []string{"load", "top.json", "users", "allocations.json"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is missing: %v", name, names)
		}
	}
	dir := s.mountShared()
	for _, name := range append(names, "rates", "every/100ms/top", "every/100ms/users.json", "every/1s/commands") {
		text, err := vfs.ReadFile(t.Context(), mine, 16<<20, append([]string{"cluster"}, strings.Split(name, "/")...)...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		argv := append(as(alice), "cat", filepath.Join(dir, "cluster", name))
		shared, err := output(exec.CommandContext(t.Context(), argv[0], argv[1:]...))
		if err != nil {
			t.Errorf("%s over FUSE: %v", name, err)
		}
		for _, got := range []string{string(text), shared} {
			for _, of := range []string{"solver", "nasty", "procsrv", "n2 ", `"n2"`, nameOf(cluster.Bob), "head "} {
				if strings.Contains(got, of) && name != "nodes" && name != "whoami" { // which have paths
					t.Errorf("cluster/%s tells alice of %s:\n%s", name, of, got)
				}
			}
		}
	}
	if slices.Contains(names, "net") {
		t.Error("alice has the counters of interfaces, and no net/ on the node")
	}
	for _, name := range []string{"net", "net.json", "every/1s/net"} {
		if _, err := vfs.ReadFile(t.Context(), mine, 1<<20, append([]string{"cluster"}, strings.Split(name, "/")...)...); err == nil {
			t.Errorf("alice reads %s", name)
		}
	}
	users, err := sampled(t.Context(), mine, "users.json")
	if err != nil || len(users.Rows) != 1 || users.Rows[0]["user"] != nameOf(cluster.Alice) {
		t.Errorf("users: %v, %v", users.Rows, err)
	}
}

// cat on cluster/watch of a mount prints what starts and ends as it does, to each user theirs.
func TestWatchIsAStream(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "views: [{users: [\"1001\"], nodes: all, processes: own}]\n")
	n, dir := s.cluster.Nodes[0], s.mountShared()
	follow := func(argv ...string) *log {
		var text log
		cmd := exec.Command(argv[0], append(argv[1:], filepath.Join(dir, "cluster/every/100ms/watch"))...)
		cmd.Stdout, cmd.Stderr = &text, &text
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
		return &text
	}
	all, theirs := follow("cat"), follow(append(as(alice), "cat")...)
	s.eventually("the streams begin", func() bool {
		return strings.Contains(all.String(), "sweeps 100ms\n") && strings.Contains(theirs.String(), "sweeps 100ms\n")
	})
	for who, seconds := range map[uint32]string{cluster.Alice: "7654321", cluster.Bob: "7654322"} {
		if _, err := n.Spawn(cluster.Process{UID: who, GID: who, Argv: []string{"sleep", seconds}}); err != nil {
			t.Fatal(err)
		}
	}
	started := func(text *log, seconds string) bool {
		for line := range strings.Lines(text.String()) {
			if strings.Contains(line, " start n1 ") && strings.HasSuffix(line, " sleep "+seconds+"\n") {
				return true
			}
		}
		return false
	}
	s.eventually("root is told of both", func() bool { return started(all, "7654321") && started(all, "7654322") })
	s.eventually("alice is told of hers", func() bool { return started(theirs, "7654321") })
	s.onNode(n, "pkill", "-f", "sleep 765432[12]$")
	s.eventually("both have ended", func() bool { return strings.Count(all.String(), " end n1 ") >= 2 })
	s.eventually("hers has ended", func() bool { return strings.Contains(theirs.String(), " end n1 ") })
	if strings.Contains(theirs.String(), "7654322") || strings.Contains(theirs.String(), nameOf(cluster.Bob)) {
		t.Errorf("alice is told of bob's:\n%s", theirs)
	}
}
